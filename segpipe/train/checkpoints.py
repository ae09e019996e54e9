"""Which checkpoint training goes on from, and what becomes of those that do not fit."""

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

from segpipe.errors import ConfigError, InputError
from segpipe.io.atomic import atomic_path, remove_leftovers
from segpipe.io.space import check_space
from segpipe.log import logger
from segpipe.train.contract import Contract, contract_hash, differences
from segpipe.train.state import TrainState, read_state, save_state

# Permissions, disks and networks; torch stumbles over a file cut short with an OSError, too, of another number.
UNREADABLE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)

FILES = 3  # last.pt and best.pt, and for a moment the one that replaces one of them
STATES = 5  # in each: weights, their average, the best ones, and the two moments of AdamW


@dataclass(frozen=True)
class Checkpoints:
    """``last.pt``, the newest state; ``best.pt``, that after the best epoch, to fall back on.

    States of other settings become ``superseded-<hash of their contract>.pt``: the newest is kept, and taken up
    again when the settings come back.
    """

    folder: Path

    @property
    def last(self) -> Path:
        """The newest state."""
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        """The state after the best epoch."""
        return self.folder / "best.pt"

    def check_space(self, weights: int) -> None:
        """Whether the files will fit that are not there yet; ``weights`` are the bytes of the network's.

        Raises:
            DiskFullError: they cannot.
        """
        there = sum(path.exists() for path in (self.last, self.best))
        check_space(self.folder, (FILES - there) * STATES * weights, "checkpoints")

    def save(self, state: TrainState) -> None:
        """Replace ``last.pt``, and ``best.pt`` where this is the best epoch.

        Raises:
            DiskFullError: the files are those of before.
        """
        save_state(state, self.last)
        if state.step == 0 and state.best_epoch == state.epoch > 0:
            with atomic_path(self.best) as temporary:
                shutil.copyfile(self.last, temporary)  # no link: what damages one should spare the other

    def open(self, contract: Contract, require: bool = False) -> TrainState | None:
        """The state to go on from, or None to start anew; the log says which and why.

        Raises:
            ConfigError: with ``require``, there is none of these very settings and data.
            InputError: the system does not let a checkpoint be read; it may be sound, so it stays where it is.
        """
        remove_leftovers(self.folder)
        own = self._superseded(contract)
        for path in (self.last, self.best, own):
            state = self._read(path)
            if state is not None and state.contract == contract:
                if path == own:
                    own.replace(self.last)
                logger.info("going on after %s from %s", _place(state), path)
                return state
            if state is not None and require:
                raise ConfigError(
                    f"{self._explain(path, state, contract)}. It is left as it is (--require-checkpoint)."
                )
            if state is not None:
                self._set_aside(path, state, contract)
        if require:
            raise ConfigError(f"{self.folder} holds no checkpoint to go on from (--require-checkpoint).")
        return None

    def _read(self, path: Path) -> TrainState | None:
        if not path.exists():
            return None
        try:
            return read_state(path)
        except Exception as error:  # a damaged file can make the reader stumble anywhere
            if isinstance(error, OSError) and error.errno in UNREADABLE:
                raise InputError(
                    f"{path} cannot be read: {error.strerror}. It is left as it is; run the same command again when "
                    "the disk can be read, or remove the file to train anew."
                ) from None
            aside = path.with_name(f"damaged-{path.name}")
            path.replace(aside)
            logger.warning(
                "%s is damaged or of another version of segpipe (%s); it becomes %s",
                path,
                type(error).__name__,
                aside.name,
            )
            return None

    def _set_aside(self, path: Path, state: TrainState, contract: Contract) -> None:
        aside = self._superseded(state.contract)
        if path == self.best and aside.exists():  # last.pt of the same training, which knows more
            path.unlink()
            return
        older = [file for file in self.folder.glob("superseded-*.pt") if file != self._superseded(contract)]
        path.replace(aside)
        logger.warning(
            "%s. It becomes %s and training starts anew; with the old settings and data it would be taken up again.",
            self._explain(path, state, contract), aside.name,
        )  # fmt: skip
        for file in older:
            logger.warning("%s, set aside before, is removed", file)
            file.unlink()

    def _superseded(self, contract: Contract) -> Path:
        return self.folder / f"superseded-{contract_hash(contract)[:8]}.pt"

    @staticmethod
    def _explain(path: Path, state: TrainState, contract: Contract) -> str:
        found = "; ".join(differences(state.contract, contract))
        return f"{path} ({_place(state)}) was trained with other settings or data: {found}"


def _place(state: TrainState) -> str:
    return f"epoch {state.epoch}" + (f" and {state.step} steps of the next" if state.step else "")
