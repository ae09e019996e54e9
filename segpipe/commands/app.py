"""The application that the verbs join, its exit codes and how it is stopped."""

import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from segpipe import __version__
from segpipe.errors import ExitCode, InterruptedRun, SegpipeError
from segpipe.log import logger, set_up_logging

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="From a folder of radiographs to masks and one MIoU per image. A whole run: `snakemake --cores 8`; "
    "each verb below is one step of it, or a look at it.",
    epilog="Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 config, 4 input, 5 too many quarantined images, 6 disk full, "
    "7 verify or reproduce found differences, 75 stopped with progress saved, 130 Ctrl-C.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    # A callback, because the verb that is missing would be complained about first.
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; end with an exit code of :class:`segpipe.errors.ExitCode`."""
    # Threads that wait for work sleep instead of spinning: beside other work on the same cores, spinning made
    # training several times slower; alone it gained nothing. Torch reads this when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What cuBLAS needs to give the same bits every time (torch.use_deterministic_algorithms).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except (SegpipeError, InterruptedRun) as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except Exception:
        _complain(f"a bug in segpipe {__version__}; please report these lines:\n{traceback.format_exc()}")
        sys.exit(ExitCode.BUG)


def _stop(number: int, _: object) -> None:
    """End where we are: everything finished is on disk, and temporary files clean up after themselves."""
    signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleaning up
    raise InterruptedRun(
        "stopped. What was finished is kept; the same command goes on from there.",
        ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.SAVED,
    )


def _complain(text: str) -> None:
    if not logger.handlers:
        set_up_logging(None)
    logger.error(text)
