# What people read.


rule report:
    input:
        tables=of_shards("shards/{shard}/table.parquet"),
        predictions=of_shards("predictions/{shard}.parquet"),
        scores=of_shards("scores/{shard}.parquet"),
        of_seeds=of_seeds(
            "scores/{shard}.parquet", RUN, CONFIG.train.repeats if TRAINS else 1
        ),
        dataset=f"{RESULTS}/dataset/dataset.parquet" if TRAINS else [],
        facts=f"{RESULTS}/dataset/dataset.json" if TRAINS else [],
        # What the page says of the methods; all but the first changed nothing unless the tables above changed, too.
        configs=[
            stage_config(stage)
            for stage in (
                "report",
                "predict",
                "preprocess",
                "dataset",
                "train",
                "score",
            )
        ],
    output:
        table=report(
            f"{RESULTS}/report.csv",
            caption="../report/table.rst",
            category="Scores",
        ),
        typed=f"{RESULTS}/report.parquet",
        summary=f"{RESULTS}/summary.json",
        groups=f"{RESULTS}/groups.csv",
        overview=report(
            f"{RESULTS}/overview.png",
            caption="../report/overview.rst",
            category="Pictures",
        ),
        page=report(
            f"{RESULTS}/report.html",
            caption="../report/page.rst",
            category="Scores",
        ),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../envs/segpipe.yaml"
    threads: 1
    resources:
        mem_mb=memory("report"),
        runtime=runtime("report"),
    params:
        configs=lambda wildcards, input: [f"--config={path}" for path in input.configs],
        shards=SHARDS,
        folder=subpath(output.table, parent=True),
        folds="--folds" if TRAINS else "--no-folds",
    message:
        f"Writing the report of {SCAN.images} images"
    shell:
        "segpipe report {params.configs:q} --results {params.folder:q} {params.folds} --log {log:q}"
        " {params.shards:q}"


# Fails when too many images are quarantined; the report is complete all the same. A second, so no cluster is asked.
rule check:
    input:
        summary=f"{RESULTS}/summary.json",
    output:
        f"{RESULTS}/summary.txt",
    log:
        f"{RESULTS}/logs/check.log",
    benchmark:
        f"{RESULTS}/benchmarks/check.tsv"
    localrule: True
    conda:
        "../envs/segpipe.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        tolerate=CONFIG.data.tolerate,
        folder=subpath(input.summary, parent=True),
    message:
        "Summing up"
    shell:
        "segpipe check {params.folder:q} --tolerate {params.tolerate:q} --output {output:q} 2>&1 | tee {log:q}"


# What the run was made from, as files that can be passed on. Hashes stand in the tables already, so it takes seconds.
rule provenance:
    input:
        outputs=rules.report.output,
        tables=of_shards("shards/{shard}/table.parquet"),
        predictions=of_shards("predictions/{shard}.parquet"),
        weights=[
            f"{folder}/{name}"
            for folder in (
                [f"{RESULTS}/{folder}" for folder in TRIALS[RUN]]
                if TRAINS
                else CONFIG.model.weights
            )
            for name in ("model.safetensors", "model.json")
        ],
        config=stage_config("provenance"),
    output:
        record=f"{RESULTS}/provenance.json",
        crate=f"{RESULTS}/ro-crate-metadata.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    localrule: True
    conda:
        "../envs/segpipe.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        shards=SHARDS,
        folder=subpath(output.record, parent=True),
        workflow=workflow.basedir,
    message:
        "Writing down what the run was made from"
    shell:
        "segpipe provenance --config {input.config:q} --results {params.folder:q} --workflow {params.workflow:q}"
        " --log {log:q} {params.shards:q}"
