import subprocess
import sys

CODE = """
import sys
import torch
from segpipe.models.device import compiled, fix_arithmetic
fix_arithmetic(1)
assert torch.are_deterministic_algorithms_enabled()
assert not torch.is_deterministic_algorithms_warn_only_enabled()
assert not [name for name in sys.modules if name.startswith("torch._inductor")]
compiled(torch.nn.Identity(), dynamic=False)
assert torch._inductor.config.deterministic
assert torch.are_deterministic_algorithms_enabled()
"""


def test_arithmetic_is_fixed_without_the_compiler_and_with_it():
    subprocess.run([sys.executable, "-c", CODE], check=True)
