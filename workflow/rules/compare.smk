# Variants side by side. What trains and scores them are the rules of the run itself.


rule compare:
    input:
        scores=[
            file
            for variant in VARIANTS
            for file in of_shards("scores/{shard}.parquet", variant.folder)
        ],
        of_seeds=[
            file
            for variant in VARIANTS
            for file in of_seeds(
                "scores/{shard}.parquet", variant.folder, CONFIG.compare.repeats
            )
        ],
        weights=[
            f"{RESULTS}/{folder}/model.safetensors"
            for variant in VARIANTS
            for folder in TRIALS[variant.folder]
        ],
        dataset=f"{RESULTS}/dataset/dataset.parquet",
        config=stage_config("compare"),
    output:
        table=report(
            f"{RESULTS}/comparison.csv",
            caption="../report/comparison.rst",
            category="Comparison",
        ),
        seeds=f"{RESULTS}/comparison-seeds.csv",
        pairs=f"{RESULTS}/comparison-pairs.csv",
        times=f"{RESULTS}/comparison-times.csv",
        picture=report(
            f"{RESULTS}/comparison.png",
            caption="../report/comparison.rst",
            category="Comparison",
        ),
    log:
        f"{RESULTS}/logs/compare.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: 1
    resources:
        gpu=gpus_wanted(CONFIG.predict.device),
        mem_mb=memory("compare"),
        runtime=runtime("report", lambda wildcards: len(VARIANTS)),
    params:
        shards=SHARDS,
        folder=subpath(output.table, parent=True),
    message:
        "Comparing variants"
    shell:
        "segpipe compare --config {input.config:q} --results {params.folder:q} --log {log:q} {params.shards:q}"
