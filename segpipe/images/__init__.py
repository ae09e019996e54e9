"""Reading radiographs: a file's bytes to grey values and the decisions made on the way; read.py is the first."""
