"""A real SLURM on this machine: munged, slurmctld and six slurmd on loopback, with GPUs that are none.

Needs root (munged's key, device files, the link at /etc/slurm/slurm.conf, where job steps look for the
configuration) and Debian's packages ``slurm-wlm`` and ``munge``.
"""

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from segpipe.files.lock import Lock

CONFIG = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
# The first two are those of the profile; each of the others is for tests that run beside theirs.
PARTITIONS = {"cpu": ("node1", "node2"), "gpu": ("node3",), "both": ("node4",), "pair": ("node5", "node6")}
WITH_GPUS = ("node3", "node4")  # two each
NODES = tuple(node for nodes in PARTITIONS.values() for node in nodes)
NAME = "ClusterName=segpipe"
PATIENCE = 1800.0  # seconds

# Without systemd and cgroups: processes by their group, memory by sampling. A requeued job waits for its
# credential to expire, hence the ten seconds. MinJobAge: tests and Snakemake ask about jobs that ended.
SETTINGS = """\
ClusterName=segpipe
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=1
KillWait=10
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,sched_interval=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=2
JobAcctGatherParams=OverMemoryKill
GresTypes=gpu
Prolog={folder}/prolog
Epilog={folder}/epilog
TaskProlog={folder}/task-prolog
{nodes}
{partitions}
"""


# Who has which devices and when, written by SLURM itself: when a job starts and ends on a node, and what a task sees.
NOTES = {
    "prolog": 'echo "start $SLURM_JOB_ID $SLURM_JOB_GPUS" >> {folder}/devices',
    "epilog": 'echo "end $SLURM_JOB_ID $SLURM_JOB_GPUS" >> {folder}/devices',
    "task-prolog": 'echo "sees $SLURM_JOB_ID $CUDA_VISIBLE_DEVICES" >> {folder}/devices',
}


def missing() -> str:
    """Why no cluster can be started here, "" if one can."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"{', '.join(absent)}: not installed (Debian: apt-get install slurm-wlm munge)"
    if CONFIG.exists() or CONFIG.is_symlink():
        return f"{CONFIG} is there: this machine belongs to a cluster"
    return ""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other test has a cluster here; end what one that was killed left."""
    lock, end = Lock(Path(tempfile.gettempdir()) / "segpipe-slurm.lock"), time.monotonic() + PATIENCE
    while not lock.take():
        if time.monotonic() > end:
            raise TimeoutError(f"{lock.path} is held by another process, which has a cluster on this machine")
        time.sleep(0.5)
    try:
        if CONFIG.is_symlink() and (not CONFIG.exists() or NAME in CONFIG.read_text()):
            end_daemons(CONFIG.resolve().parent)
            CONFIG.unlink()
        yield
    finally:
        lock.release()


def end_daemons(folder: Path) -> None:
    """Those whose process ids are noted in a cluster's folder."""
    for path in folder.glob("*.pid"):
        command = Path("/proc", path.read_text().strip(), "cmdline")
        if command.exists() and any(name in command.read_text() for name in ("munged", "slurm")):
            os.kill(int(command.parent.name), signal.SIGKILL)


def install() -> None:
    """Debian's packages, where they are missing and we may."""
    if os.geteuid() == 0 and shutil.which("apt-get") and not all(map(shutil.which, PROGRAMS)):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "slurm-wlm", "munge"]):
            subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, timeout=300)


class Cluster:
    """A running cluster; its commands are on the PATH and find it by themselves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons, and wait until all nodes are idle."""
        self._write_config()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        munge = [f"--{name}={self.folder}/munge.{name.split('-')[0]}" for name in ("pid-file", "log-file", "seed-file")]
        self._run(["munged", "--force", "--foreground", f"--socket={self._socket}", f"--key-file={key}", *munge])
        wait_until(self._socket.exists, "munged")
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.symlink_to(self.folder / "slurm.conf")
        self._run(["slurmctld", "-D", "-i"])
        for node in NODES:
            self._run(["slurmd", "-D", "-N", node])
        wait_until(lambda: set(self.states().values()) == {"idle"} and len(self.states()) == len(NODES), "the nodes")

    def stop(self) -> None:
        """End what was started; nothing stays but the folder."""
        if CONFIG.is_symlink():
            for job in self.jobs():
                self.output("scancel", job)
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: not self.jobs(), "the end of all jobs", 20)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(5)
            daemon.kill()
            daemon.wait()
        if CONFIG.is_symlink():
            CONFIG.unlink()

    def output(self, *command: str) -> str:
        """What a SLURM command prints; "" if it fails."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def states(self) -> dict[str, str]:
        """The nodes' states."""
        return dict(line.split() for line in self.output("sinfo", "-N", "-h", "-o", "%N %t").splitlines())

    def jobs(self, folder: Path | None = None) -> dict[str, str]:
        """States of the jobs that are not over, by their ids; of those that run in a folder."""
        unfinished = ("PENDING", "RUNNING", "COMPLETING")
        found = {job: facts for job, facts in self.history().items() if facts["JobState"] in unfinished}
        return {
            job: facts["JobState"] for job, facts in found.items() if folder is None or facts["WorkDir"] == str(folder)
        }

    def history(self) -> dict[str, dict[str, str]]:
        """What SLURM knows of all jobs, also of those that are over, by their ids."""
        lines = self.output("scontrol", "-o", "show", "jobs").splitlines()
        found = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return {facts["JobId"]: facts for facts in found if "JobId" in facts}

    def facts(self, job: str) -> dict[str, str]:
        """The same of one job."""
        return self.history()[job]

    def control(self, *words: str) -> None:
        """`scontrol`, which must succeed."""
        subprocess.run(["scontrol", *words], check=True, timeout=60)

    def near_time_limit(self, job: str) -> None:
        """So little time for a running job that SLURM warns it when it next looks, within half a minute."""
        hours, minutes, _ = self.facts(job)["RunTime"].split("-")[-1].split(":")
        self.control("update", f"JobId={job}", f"TimeLimit={int(hours) * 60 + int(minutes) + 2}")

    @property
    def _socket(self) -> Path:
        return self.folder / "munge.socket"

    def _write_config(self) -> None:
        for number in range(2):
            os.mknod(self.folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null
        (self.folder / "state").mkdir()
        for name, line in NOTES.items():
            script = self.folder / name
            script.write_text(f"#!/bin/sh\n{line.format(folder=self.folder)}\n")
            script.chmod(0o755)
        ports = free_ports(1 + len(NODES))
        lines = [
            f"NodeName={node} NodeHostname={socket.gethostname().split('.')[0]} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs=8 RealMemory=64000{' Gres=gpu:fake:2' if node in WITH_GPUS else ''}"
            for node, port in zip(NODES, ports[1:], strict=True)
        ]
        partitions = [
            f"PartitionName={name} Nodes={','.join(nodes)} Default={'YES' if name == 'cpu' else 'NO'} MaxTime=INFINITE"
            for name, nodes in PARTITIONS.items()
        ]
        values = {"host": socket.gethostname().split(".")[0], "folder": self.folder, "controller": ports[0]}
        (self.folder / "slurm.conf").write_text(
            SETTINGS.format(**values, nodes="\n".join(lines), partitions="\n".join(partitions))
        )
        gres = f"AutoDetect=off\nNodeName={','.join(WITH_GPUS)} Name=gpu Type=fake File={self.folder}/gpu[0-1]\n"
        (self.folder / "gres.conf").write_text(gres)

    def _run(self, command: list[str]) -> None:
        environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}
        with (self.folder / f"{Path(command[0]).name}-{len(self._daemons)}.out").open("w") as log:
            daemon = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self._daemons.append(daemon)


def wait_until(ready: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster for the length of a block."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
