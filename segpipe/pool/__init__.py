"""Work on untrusted files in other processes, and this machine's GPUs."""
