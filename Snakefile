# segpipe: from a folder of radiographs to report.csv.
#
#   snakemake --cores 8                               the demo (config/config.yaml)
#   snakemake --cores 8 --configfile my-config.yaml   your data
#   snakemake -n                                      what would run, and why

from snakemake.utils import min_version

min_version("9.5")

# Another config replaces the demo's; merged with it, the two would contradict each other.
if "data" not in config:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/report.smk"


# What a run ends with: its own report, or a comparison of variants.
TARGETS = ["report.csv", "summary.txt", "provenance.json"]
if CONFIG.compare:
    TARGETS = ["comparison.csv", "comparison.png"]

    include: "workflow/rules/compare.smk"


rule all:
    default_target: True
    input:
        [f"{RESULTS}/{name}" for name in TARGETS],
