"""report.html: the run in one file that needs no network; docs/report-html.md describes it for readers."""

from segpipe.report.html.page import write_page

__all__ = ["write_page"]
