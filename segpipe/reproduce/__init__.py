"""`segpipe reproduce`: a run once more, in another folder, and compared with the first."""
