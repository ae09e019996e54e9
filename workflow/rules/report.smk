# What people read.


rule report:
    input:
        tables=of_shards("shards/{shard}/table.parquet"),
        predictions=of_shards("predictions/{shard}.parquet"),
        scores=of_shards("scores/{shard}.parquet"),
        dataset=RESULTS + "/dataset/dataset.parquet" if TRAINS else [],
        config=stage_config("report"),
        predict_config=stage_config("predict"),
    output:
        table=report(
            RESULTS + "/report.csv",
            caption="../report/table.rst",
            category="Scores",
        ),
        summary=RESULTS + "/summary.json",
        overview=report(
            RESULTS + "/overview.png",
            caption="../report/overview.rst",
            category="Pictures",
        ),
    log:
        RESULTS + "/logs/report.log",
    benchmark:
        RESULTS + "/benchmarks/report.tsv"
    params:
        config=SCAN.stages["report"],
        shards=SHARDS,
        folder=subpath(output.table, parent=True),
        folds="--folds" if TRAINS else "--no-folds",
    threads: 1
    resources:
        mem_mb=2000,
    message:
        "Writing the report of {SCAN.images} images"
    shell:
        "segpipe report --config {input.config} --predict-config {input.predict_config}"
        " --results {params.folder} {params.folds} --log {log} {params.shards}"


# Fails when too many images are quarantined; the report is complete all the same.
rule check:
    input:
        summary=RESULTS + "/summary.json",
    output:
        RESULTS + "/summary.txt",
    log:
        RESULTS + "/logs/check.log",
    benchmark:
        RESULTS + "/benchmarks/check.tsv"
    params:
        tolerate=CONFIG.data.tolerate,
        folder=subpath(input.summary, parent=True),
    threads: 1
    resources:
        mem_mb=500,
    message:
        "Summing up"
    shell:
        "segpipe check {params.folder} --tolerate {params.tolerate} --output {output} 2>&1 | tee {log}"
