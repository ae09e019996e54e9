"""report.html: the run in one file that needs no network; docs/report-html.md describes it for readers."""
