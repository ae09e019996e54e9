"""What a run leaves for its reader: report.csv, the page, the overview picture and the printed summary."""
