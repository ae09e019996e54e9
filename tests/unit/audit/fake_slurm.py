import sys
from dataclasses import dataclass
from pathlib import Path

from segpipe.audit.slurm import FORMAT

# Both know the jobs of everybody; without --me they would touch those of others.
SQUEUE = """#!{python}
import sys
from pathlib import Path
folder = Path({folder!r})
with (folder / "calls").open("a") as file:
    print("squeue", *sys.argv[1:], file=file)
assert sys.argv[1:] == ["--me", "--noheader", "--array", "--format", {format!r}], sys.argv
sys.stdout.write((folder / "queue").read_text())
"""
SCANCEL = """#!{python}
import sys
from pathlib import Path
folder = Path({folder!r})
with (folder / "calls").open("a") as file:
    print("scancel", *sys.argv[1:], file=file)
assert sys.argv[1] == "--me" and len(sys.argv) > 2, sys.argv
lines = (folder / "queue").read_text().splitlines(keepends=True)
(folder / "queue").write_text("".join(line for line in lines if line.split("\\t")[0] not in sys.argv[2:]))
"""


@dataclass
class FakeSlurm:
    """A folder with the two commands, the jobs that they know and the calls that they got."""

    folder: Path

    def __post_init__(self):
        self.folder.mkdir()
        (self.folder / "queue").touch()
        (self.folder / "calls").touch()
        for name, text in (("squeue", SQUEUE), ("scancel", SCANCEL)):
            self.replace(name, text.format(python=sys.executable, folder=str(self.folder), format=FORMAT))

    def replace(self, name, text):
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def add(self, number, run, folder, state="RUNNING", reason="None", comment="rule_preprocess_wildcards_0000"):
        with (self.folder / "queue").open("a") as file:
            file.write("\t".join([str(number), run, state, reason, str(folder), comment]) + "\n")

    def left(self):
        return [line.split("\t")[0] for line in (self.folder / "queue").read_text().splitlines()]

    def calls(self, program):
        return [line for line in (self.folder / "calls").read_text().splitlines() if line.startswith(program)]
