"""What can go wrong, and the exit code each kind ends a command with.

Every message names the file or key, says what was found, why it matters and what to do. Two kinds
matter to the reader of the code: an :class:`ImageError` costs one row of the report, every other
:class:`SegpipeError` ends the command.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of the ``segpipe`` command, documented in ``docs/cli.md``."""

    OK = 0
    BUG = 1
    USAGE = 2
    CONFIG = 3
    INPUT = 4
    QUARANTINE = 5
    DISK = 6
    DIFFERS = 7
    SAVED = 75  # EX_TEMPFAIL of sysexits.h: stopped on request, progress saved, run again
    INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class SegpipeError(Exception):
    """Something the user can mend; printed as one message, without a traceback."""

    exit_code = ExitCode.INPUT


class ConfigError(SegpipeError):
    """The configuration is wrong: an unknown key, a bad value, keys that contradict each other."""

    exit_code = ExitCode.CONFIG


class InputError(SegpipeError):
    """The set of files is wrong as a whole: nothing found, two samples with one id, no masks."""

    exit_code = ExitCode.INPUT


class QuarantineError(SegpipeError):
    """More images were quarantined than ``data.tolerate`` allows."""

    exit_code = ExitCode.QUARANTINE


class DifferenceError(SegpipeError):
    """`segpipe verify` found files that are not what they were, or `segpipe reproduce` a run that gives others."""

    exit_code = ExitCode.DIFFERS


class DiskFullError(SegpipeError):
    """A file could not be written for want of space; what was there before is untouched."""

    exit_code = ExitCode.DISK


class InterruptedRun(BaseException):
    """Asked to stop: by Ctrl-C (130), or by SIGTERM (75), which a scheduler sends before a time limit.

    No ``Exception``, so that a reader that turns whatever goes wrong into a quarantined row lets it through.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ImageError(SegpipeError):
    """One image or mask cannot be used: its row is quarantined with this text as the reason.

    The text must not hold anything from the file's header beyond the tags listed in ``docs/dicom.md``.
    """


def in_a_line(error: Exception) -> str:
    """The text of an error of another library, which may have many long lines, as a part of a message."""
    return " ".join(str(error).split())[:300]
