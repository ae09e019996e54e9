"""Shard stores on a disk of this node while a model trains: one copy for all trainings here.

Layout below ``<scratch>/segpipe-<user id>/stores-<host>``: a folder ``<key>`` of copied stores, ``<key>.users``,
which every training that reads them holds shared, and ``<key>.copying``, held by the one that copies. The key is made
from the stores' place and the stamps of their files, so another content is another folder. A store appears under its
name when it is whole. Who ends last removes the copy; what a killed training left is removed by the next one here.
The host is in the name because locks may not reach from node to node, should the folder be one that several nodes
see.
"""

import hashlib
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from segpipe.errors import InputError
from segpipe.files.lock import Lock, private_folder
from segpipe.files.source import MISSING, file_stamp
from segpipe.log import logger
from segpipe.preprocess.store import FILES

SPARE = 0.05  # of the disk, which other programs of the node need, too
SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_LINES = 0.5, 60.0


@contextmanager
def nearby(stores: Path, shards: Sequence[str], scratch: str | None) -> Iterator[Path]:
    """A folder with the stores of these shards: their copy in ``scratch`` while the block lasts, or themselves.

    ``scratch`` may hold variables, such as ``$TMPDIR``, which differ from node to node. Where the stores cannot be
    copied, as for want of space, a warning says so and the block reads from ``stores``.
    """
    users = None
    try:
        users = _copied(stores, sorted(set(shards)), Path(os.path.expandvars(scratch))) if scratch else None
        yield users.path.with_suffix("") if users else stores
    finally:
        if users:
            _leave(users)


def place_in(scratch: Path) -> Path:
    """Where the copies of this node lie."""
    return private_folder(scratch) / f"stores-{socket.gethostname()}"


def _copied(stores: Path, shards: Sequence[str], scratch: Path) -> Lock | None:
    """Copy what is not there yet; the lock that keeps it there."""
    users = None
    try:
        place = place_in(scratch)
        place.mkdir(mode=0o700, exist_ok=True)
        _sweep(place)
        folder = place / _key(stores, shards)
        users = Lock(folder.with_suffix(".users"))
        _wait(users, "for another training to clear the scratch folder", shared=True)
        copied = _fill(folder, stores, shards)
    except (OSError, InputError) as error:
        logger.warning("%s is not used: %s. Training reads from %s, which may take longer.", scratch, error, stores)
        if users:
            _leave(users)
        return None
    how = f"where {copied / 1e6:.1f} MB were copied to" if copied else "where they were already"
    logger.info("reads %d shards from %s, %s", len(shards), folder, how)
    return users


def _key(stores: Path, shards: Sequence[str]) -> str:
    text = "\n".join([str(stores.resolve()), *(f"{shard} {_stamps(stores / shard)}" for shard in shards)])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _stamps(store: Path) -> str:
    stamps = [file_stamp(store / name) for name in FILES]
    if MISSING in stamps:
        raise InputError(f"{store} is not complete")
    return " ".join(stamps)


def _fill(folder: Path, stores: Path, shards: Sequence[str]) -> int:
    """Copy the stores that are not there; bytes copied."""
    copying = Lock(folder.with_suffix(".copying"))
    _wait(copying, "for another training that copies the shards")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for part in folder.glob("*.part"):  # of one that was killed: we hold the lock
            shutil.rmtree(part)
        missing = [shard for shard in shards if not (folder / shard).exists()]
        size = sum((stores / shard / name).stat().st_size for shard in missing for name in FILES)
        _check_space(folder, size)
        for shard in missing:
            _copy(stores / shard, folder / shard)
        return size
    finally:
        copying.release()


def _check_space(folder: Path, size: int) -> None:
    disk = shutil.disk_usage(folder)
    free = disk.free - int(SPARE * disk.total)
    if size > free:
        raise InputError(f"the shards take {size / 1e6:.1f} MB, and {max(0, free) / 1e6:.1f} MB may be used there")


def _copy(store: Path, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    before = _stamps(store)
    part.mkdir(mode=0o700)
    try:
        for name in FILES:
            shutil.copyfile(store / name, part / name)
            if (part / name).stat().st_size != (store / name).stat().st_size:
                raise InputError(f"{store / name} was not copied to its end")
        if _stamps(store) != before:
            raise InputError(f"{store} changed while it was copied")
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _leave(users: Lock) -> None:
    """Stop using a copy; remove it if nobody else does."""
    if users.take():
        _remove(users)
    users.release()


def _sweep(place: Path) -> None:
    """Remove copies that nobody uses: their trainings were killed."""
    for path in place.glob("*.users"):
        users = Lock(path)
        if users.take():
            logger.info("removes %s, which a killed training left", path.with_suffix(""))
            _remove(users)
        users.release()


def _remove(users: Lock) -> None:
    """The copy, then the files of its locks; ``users`` is held alone."""
    folder = users.path.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".copying").unlink(missing_ok=True)
    users.path.unlink(missing_ok=True)


def _wait(lock: Lock, why: str, shared: bool = False) -> None:
    said = time.monotonic()
    while not lock.take(shared=shared):
        if time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            logger.info("waiting %s (process %d)", why, os.getpid())
        time.sleep(SECONDS_BETWEEN_LOOKS)
