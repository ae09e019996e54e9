# One model per fold. Checkpoints lie beside the outputs but are none: Snakemake deletes outputs before it
# runs a job again, and training goes on from its last whole epoch.


rule train:
    input:
        images=of_shards("shards/{shard}/images.npy"),
        masks=of_shards("shards/{shard}/masks.npy"),
        dataset=f"{RESULTS}/dataset/dataset.parquet",
        config=stage_config("train"),
    output:
        weights=f"{RESULTS}/models/{{model}}/model.safetensors",
        card=f"{RESULTS}/models/{{model}}/model.json",
        history=f"{RESULTS}/models/{{model}}/history.csv",
        seen=f"{RESULTS}/models/{{model}}/training.csv",
    log:
        f"{RESULTS}/logs/train/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{model}}.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: CONFIG.train.threads + CONFIG.train.workers
    resources:
        gpu=gpus_wanted(CONFIG.train.device),
        mem_mb=8000,
    params:
        config=SCAN.stages["train"],
        shards=lambda wildcards, input: os.path.dirname(
            os.path.dirname(input.images[0])
        ),
        folder=subpath(output.card, parent=True),
    message:
        "Training {wildcards.model}"
    shell:
        "segpipe train --config {input.config:q} --dataset {input.dataset:q} --shards {params.shards:q}"
        " --model {wildcards.model:q} --output {params.folder:q} --log {log:q}"
