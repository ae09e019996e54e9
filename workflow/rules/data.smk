# From files to shards, and from shards to one dataset.


rule preprocess:
    input:
        table=RESULTS + "/samples/{shard}.csv",
        config=stage_config("preprocess"),
    output:
        images=RESULTS + "/shards/{shard}/images.npy",
        masks=RESULTS + "/shards/{shard}/masks.npy",
        table=RESULTS + "/shards/{shard}/table.parquet",
    log:
        RESULTS + "/logs/preprocess/{shard}.log",
    benchmark:
        RESULTS + "/benchmarks/preprocess/{shard}.tsv"
    params:
        # Size and time of each file: what tells Snakemake that a shard has something new.
        images=lambda wildcards: SCAN.shards[wildcards.shard],
        config=SCAN.stages["preprocess"],
        folder=subpath(output.table, parent=True),
    threads: 1
    resources:
        mem_mb=2000,
    message:
        "Preprocessing shard {wildcards.shard}"
    shell:
        "segpipe preprocess --config {input.config} --table {input.table} --output {params.folder} --log {log}"


rule dataset:
    input:
        tables=of_shards("shards/{shard}/table.parquet"),
        config=stage_config("dataset"),
    output:
        table=RESULTS + "/dataset/dataset.parquet",
        facts=RESULTS + "/dataset/dataset.json",
    log:
        RESULTS + "/logs/dataset.log",
    benchmark:
        RESULTS + "/benchmarks/dataset.tsv"
    params:
        config=SCAN.stages["dataset"],
        folder=subpath(output.table, parent=True),
    threads: 1
    resources:
        mem_mb=2000,
    message:
        "Gathering {SCAN.images} images, deciding folds"
    shell:
        "segpipe dataset --config {input.config} --output {params.folder} --log {log} {input.tables}"
