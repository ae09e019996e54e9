# One model per fold, seed and variant. Checkpoints lie beside the outputs but are none: Snakemake deletes outputs before it
# runs a job again, and training goes on from where it was stopped.


rule train:
    input:
        images=of_shards("shards/{shard}/images.npy"),
        masks=of_shards("shards/{shard}/masks.npy"),
        dataset=f"{RESULTS}/dataset/dataset.parquet",
        config=trial_config("train"),
    output:
        weights=f"{RESULTS}/{{trial}}models/{{model}}/model.safetensors",
        card=f"{RESULTS}/{{trial}}models/{{model}}/model.json",
        history=f"{RESULTS}/{{trial}}models/{{model}}/history.csv",
        seen=f"{RESULTS}/{{trial}}models/{{model}}/training.csv",
    log:
        f"{RESULTS}/logs/{{trial}}train/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{trial}}train/{{model}}.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: CONFIG.train.threads + CONFIG.train.workers
    resources:
        gpu=gpus_wanted(CONFIG.train.device),
        nodes=1,
        mem_mb=lambda wildcards, attempt: train_memory_mb(
            *NETWORKS.get(wildcards.trial, (CONFIG.model, CONFIG.train)),
            CONFIG.preprocess.size,
            attempt,
        ),
        # A resource, because it belongs to the machine: profiles set it, and another one trains nothing again.
        scratch=os.environ.get("SEGPIPE_SCRATCH", ""),
    params:
        init=stamps([CONFIG.model.init] if CONFIG.model.init else []),
        shards=lambda wildcards, input: folder_of_shards(input.images),
        folder=subpath(output.card, parent=True),
    message:
        "Training {wildcards.trial}{wildcards.model}"
    shell:
        "segpipe train --config {input.config:q} --dataset {input.dataset:q} --shards {params.shards:q}"
        " --model {wildcards.model:q} --output {params.folder:q} --log {log:q}"
        " --gpus {resources.gpu} --nodes {resources.nodes} --scratch={resources.scratch:q}"
