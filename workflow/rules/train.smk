# One model per fold. Checkpoints lie beside the outputs but are none: Snakemake deletes outputs before it
# runs a job again, and training goes on from its last whole epoch.


rule train:
    input:
        images=of_shards("shards/{shard}/images.npy"),
        masks=of_shards("shards/{shard}/masks.npy"),
        dataset=RESULTS + "/dataset/dataset.parquet",
        config=stage_config("train"),
    output:
        weights=RESULTS + "/models/{model}/model.safetensors",
        card=RESULTS + "/models/{model}/model.json",
        history=RESULTS + "/models/{model}/history.csv",
    log:
        RESULTS + "/logs/train/{model}.log",
    benchmark:
        RESULTS + "/benchmarks/train/{model}.tsv"
    params:
        config=SCAN.stages["train"],
        shards=RESULTS + "/shards",
        folder=subpath(output.card, parent=True),
    threads: CONFIG.train.threads + CONFIG.train.workers
    resources:
        gpu=wants_gpu(CONFIG.train.device),
        mem_mb=8000,
    message:
        "Training {wildcards.model}"
    shell:
        "segpipe train --config {input.config} --dataset {input.dataset} --shards {params.shards}"
        " --model {wildcards.model} --output {params.folder} --log {log}"
