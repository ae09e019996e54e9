# Masks of a shard, and their scores. The folder masks/<shard>/ is not a declared output: a job that runs again keeps
# the masks that are still right.


rule predict:
    input:
        images=f"{RESULTS}/shards/{{shard}}/images.npy",
        table=f"{RESULTS}/shards/{{shard}}/table.parquet",
        weights=in_model_folders("model.safetensors"),
        cards=in_model_folders("model.json"),
        dataset=f"{RESULTS}/dataset/dataset.parquet" if TRAINS else [],
        config=trial_config("predict"),
    output:
        f"{RESULTS}/{{trial}}predictions/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/{{trial}}predict/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{trial}}predict/{{shard}}.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: SHARD_THREADS
    resources:
        gpu=gpus_wanted(CONFIG.predict.device),
        mem_mb=memory("predict"),
        runtime=runtime("predict", lambda wildcards: len(model_folders(wildcards))),
    params:
        models=model_folders,
        # A link that points to another model, or an older file put in its place, is a change, too.
        weights=stamps(CONFIG.model.weights),
        shard=subpath(input.table, parent=True),
        masks=f"{RESULTS}/{{trial}}masks/{{shard}}",
        # Empty with a given model, which knows no folds.
        dataset=["--dataset", f"{RESULTS}/dataset/dataset.parquet"] if TRAINS else [],
    message:
        "Predicting shard {wildcards.trial}{wildcards.shard}"
    shell:
        "segpipe predict-shard --config {input.config:q} --shard {params.shard:q} --masks {params.masks:q}"
        " --output {output:q} {params.dataset:q} --threads {threads} --log {log:q}"
        " {params.models:q}"


rule score:
    input:
        samples=sample_table,
        table=f"{RESULTS}/shards/{{shard}}/table.parquet",
        predictions=f"{RESULTS}/{{trial}}predictions/{{shard}}.parquet",
        config=stage_config("score"),
    output:
        f"{RESULTS}/{{trial}}scores/{{shard}}.parquet",
    log:
        f"{RESULTS}/logs/{{trial}}score/{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{trial}}score/{{shard}}.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: SHARD_THREADS
    resources:
        mem_mb=memory("score"),
        runtime=runtime("score"),
    params:
        shard=subpath(input.table, parent=True),
        masks=f"{RESULTS}/{{trial}}masks/{{shard}}",
    message:
        "Scoring shard {wildcards.trial}{wildcards.shard}"
    shell:
        "segpipe score --config {input.config:q} --table {input.samples:q} --shard {params.shard:q}"
        " --predictions {input.predictions:q} --masks {params.masks:q} --output {output:q}"
        " --threads {threads} --log {log:q}"
