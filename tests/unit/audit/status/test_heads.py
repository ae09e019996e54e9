import subprocess
import sys
from pathlib import Path

import pytest

from segpipe.audit.status.snakemake import is_head, running_heads

PROGRAM = """#!{python}
import sys
log = open("log", "w")
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/venv/bin/python3.11 /venv/bin/snakemake --cores 2", True),
        ("/venv/bin/python -m snakemake --cores 2 --configfile my.yaml", True),
        ("/venv/bin/python -m snakemake --target-jobs preprocess:shard=0000 --mode remote", False),
        ("/venv/bin/python3.11 /venv/bin/snakemake -n", False),
        ("/venv/bin/python3.11 /venv/bin/snakemake -np --cores 2", False),
        ("/venv/bin/python3.11 /venv/bin/snakemake --unlock", False),
        ("vim snakemake", False),
        ("python train.py snakemake", False),
        ("python", False),
        ("/opt/bin/snakemake --cores 1", True),
        ("", False),
    ],
)
def test_a_head_is_told_from_its_command_line(line, told):
    assert is_head(line.split()) == told


def test_a_snakemake_is_found_by_its_folder_with_the_files_that_it_has_open(tmp_path):
    folder = tmp_path.resolve()
    program = folder / "snakemake"
    program.write_text(PROGRAM.format(python=sys.executable))
    process = subprocess.Popen(
        [sys.executable, str(program), "--cores", "1"],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        (head,) = running_heads(folder)
        assert (head.process, head.folder) == (process.pid, folder)
        assert folder / "log" in head.files
        assert head.process in {each.process for each in running_heads()}
        assert running_heads(Path("/")) == [], "another folder"
    finally:
        process.communicate("")
    assert running_heads(folder) == []
