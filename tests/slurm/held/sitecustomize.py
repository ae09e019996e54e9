"""On the PYTHONPATH of test runs and of all their jobs: processes stop where a test wants them, until it says go on.

A test holds a verb by a file ``$SEGPIPE_TEST_HOLD/<verb>`` (every process of that verb, before it starts) or
``.../train-<model>-<epoch>`` (a training, before that epoch; it notices SIGTERM meanwhile, as between two steps). A
process that is held says so by a file ``<name>.<process id>.held``. Nothing that is computed changes.
"""

import importlib.abc
import importlib.machinery
import os
import sys
import time
from pathlib import Path

FOLDER = os.environ.get("SEGPIPE_TEST_HOLD")
POLL_AT_MOST = 2.0  # seconds; the plugin waits ten more after each look at which nothing was finished


def hold(name, asked_to_stop=lambda: False):
    """Wait while the file is there."""
    gate, mark = Path(FOLDER, name), Path(FOLDER, f"{name}.{os.getpid()}.held")
    if not gate.exists():
        return
    mark.write_text(os.environ.get("SLURM_JOB_ID", ""))
    while gate.exists() and not asked_to_stop():
        time.sleep(0.05)
    mark.unlink()


def hold_epochs(module):
    """Trainings stop before the epochs that a test holds."""
    train = module.Trainer._train

    def held(self):
        if self.state.step == 0:
            hold(f"train-{self.model}-{self.state.epoch + 1}", lambda: bool(self.stop))
        train(self)

    module.Trainer._train = held


def look_often(module):
    """Snakemake asks for its jobs every two seconds."""
    waits = module.RemoteExecutor.next_seconds_between_status_checks

    def shorter(self):
        return min(POLL_AT_MOST, waits.fget(self))

    module.RemoteExecutor.next_seconds_between_status_checks = waits.getter(shorter)


CHANGES = {"segpipe.train.loop": hold_epochs, "snakemake_interface_executor_plugins.executors.remote": look_often}


class Changing(importlib.abc.MetaPathFinder):
    """Changes some modules when they are imported."""

    def find_spec(self, name, path, target=None):
        """Python's own finding, and the change after the module's code has run."""
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        run = spec.loader.exec_module

        def run_and_change(module):
            run(module)
            CHANGES[name](module)

        spec.loader.exec_module = run_and_change
        return spec


if FOLDER:
    sys.meta_path.insert(0, Changing())
    words = sys.orig_argv
    program = next((number for number, word in enumerate(words) if word.endswith("/segpipe")), None)
    if program is not None and len(words) > program + 1:
        hold(words[program + 1])
