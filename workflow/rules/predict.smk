# Masks of a shard, and their scores. The masks lie in a folder that is no declared output: a job that runs
# again keeps those that are still right.


rule predict:
    input:
        images=RESULTS + "/shards/{shard}/images.npy",
        table=RESULTS + "/shards/{shard}/table.parquet",
        weights=[folder + "/model.safetensors" for folder in model_folders()],
        cards=[folder + "/model.json" for folder in model_folders()],
        dataset=RESULTS + "/dataset/dataset.parquet" if TRAINS else [],
        config=stage_config("predict"),
    output:
        RESULTS + "/predictions/{shard}.parquet",
    log:
        RESULTS + "/logs/predict/{shard}.log",
    benchmark:
        RESULTS + "/benchmarks/predict/{shard}.tsv"
    params:
        config=SCAN.stages["predict"],
        models=model_folders(),
        shard=subpath(input.table, parent=True),
        masks=RESULTS + "/masks/{shard}",
        dataset=f"--dataset {RESULTS}/dataset/dataset.parquet" if TRAINS else "",
    threads: CONFIG.predict.threads
    resources:
        gpu=wants_gpu(CONFIG.predict.device),
        mem_mb=4000,
    message:
        "Predicting shard {wildcards.shard}"
    shell:
        "segpipe predict --config {input.config} --shard {params.shard} --masks {params.masks} --output {output}"
        " {params.dataset} --log {log} {params.models}"


rule score:
    input:
        samples=RESULTS + "/samples/{shard}.csv",
        table=RESULTS + "/shards/{shard}/table.parquet",
        predictions=RESULTS + "/predictions/{shard}.parquet",
        config=stage_config("score"),
    output:
        RESULTS + "/scores/{shard}.parquet",
    log:
        RESULTS + "/logs/score/{shard}.log",
    benchmark:
        RESULTS + "/benchmarks/score/{shard}.tsv"
    params:
        images=lambda wildcards: SCAN.shards[wildcards.shard],
        config=SCAN.stages["score"],
        shard=subpath(input.table, parent=True),
        masks=RESULTS + "/masks/{shard}",
    threads: 1
    resources:
        mem_mb=2000,
    message:
        "Scoring shard {wildcards.shard}"
    shell:
        "segpipe score --config {input.config} --table {input.samples} --shard {params.shard}"
        " --predictions {input.predictions} --masks {params.masks} --output {output} --log {log}"
