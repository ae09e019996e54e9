import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from segpipe.pool.worker import keep_freed_memory
if not keep_freed_memory():
    sys.exit(77)
def picture():
    return [np.full(6 * 2**20, 1, np.uint8) for _ in range(3)]
picture()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    picture()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_the_memory_of_one_picture_serves_the_next():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("not glibc")
    assert int(done.stdout) < 2000, "more than ten thousand where each picture gets new pages"
