"""What a run is doing: its jobs, read from the files that they and Snakemake leave."""
