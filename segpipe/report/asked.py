"""Whether report.csv will have the columns that ``report.by`` asks for; looked up before any job runs."""

from difflib import get_close_matches

from segpipe.errors import ConfigError
from segpipe.stages import ReportStage

_EACH_REPORT = {"fold", "site"}  # the default; all others are looked up in a module that imports pandas


def check_groups(stage: ReportStage) -> None:
    """Check ``report.by``.

    Raises:
        ConfigError: there will be no such column; the text names those that are spelt alike.
    """
    wanted = dict.fromkeys(part for name in stage.by for part in name.split("+"))
    if set(wanted) <= _EACH_REPORT:
        return
    from segpipe.report.columns import report_columns

    repeats = range(1, stage.repeats + 1)
    known = [column.name for column in report_columns(stage.classes, stage.carried, repeats, stage.score)]
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, 3)
            hint = f"; do you mean {' or '.join(close)}?" if close else "."
            raise ConfigError(
                f"report.by: report.csv has no column {name!r}{hint} It has those of docs/report-columns.md and of the "
                "sample sheet."
            )
