# From files to shards, and from shards to one dataset. Stores are kept a second time, under a name that is no declared
# output: a job that runs again takes over the rows whose files are the same.


rule preprocess:
    input:
        table=sample_table,
        config=stage_config("preprocess"),
    output:
        images=f"{RESULTS}/shards/{{shard}}/images.npy",
        masks=f"{RESULTS}/shards/{{shard}}/masks.npy",
        table=f"{RESULTS}/shards/{{shard}}/table.parquet",
    log:
        f"{RESULTS}/logs/preprocess/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/preprocess/{{shard}}.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: SHARD_THREADS
    resources:
        mem_mb=memory("preprocess"),
        runtime=runtime("preprocess"),
    params:
        folder=subpath(output.table, parent=True),
        kept=f"{RESULTS}/kept",
    message:
        "Preprocessing shard {wildcards.shard}"
    shell:
        "segpipe preprocess --config {input.config:q} --table {input.table:q} --output {params.folder:q}"
        " --kept {params.kept:q} --threads {threads} --log {log:q}"


rule dataset:
    input:
        tables=of_shards("shards/{shard}/table.parquet"),
        config=stage_config("dataset"),
    output:
        table=f"{RESULTS}/dataset/dataset.parquet",
        facts=f"{RESULTS}/dataset/dataset.json",
    log:
        f"{RESULTS}/logs/dataset.log",
    benchmark:
        f"{RESULTS}/benchmarks/dataset.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: 1
    resources:
        mem_mb=memory("dataset"),
        runtime=runtime("dataset"),
    params:
        folder=subpath(output.table, parent=True),
        stores=lambda wildcards, input: folder_of_shards(input.tables),
        shards=SHARDS,
    message:
        f"Gathering {SCAN.images} images, deciding folds"
    shell:
        "segpipe dataset --config {input.config:q} --stores {params.stores:q} --output {params.folder:q}"
        " --log {log:q} {params.shards:q}"
