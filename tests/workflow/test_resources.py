"""What jobs ask their scheduler for, as the rules hand it on."""

import re

from segpipe.config.costs import minutes
from segpipe.samples.shards import shard_of
from tests.workflow.conftest import PROJECT, TINY

# A job with a message is announced by that alone, without its resources.
SNAKEFILE = f"""
include: "{PROJECT}/Snakefile"
for each in workflow.rules:
    each.message = None
"""


def minutes_of_predict(output):
    """By trial and shard, from a dry run."""
    jobs = re.findall(r"^rule predict:\n(.*?)\n\[", output, re.M | re.S)
    found = {}
    for job in jobs:
        shard, trial = re.search(r"wildcards: trial=(\S*), shard=(\d+)", job).group(2, 1)
        found[trial, shard] = int(re.search(r"runtime=(\d+)", job)[1])
    return found


def test_time_is_for_all_models_that_an_image_may_go_through(run, tmp_path):
    """Those of its own trial: a comparison has other seeds than the run, and given models no folds."""
    config = {**TINY, "name": "asked", "compare": {"losses": ["dice", "bce"], "repeats": 3}}
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    output = run.snakemake(config, "--snakefile", str(tmp_path / "Snakefile"), "--cores", "1", "-n", "all").stdout
    found = minutes_of_predict(output)
    images = {
        shard_of(path): len(path.read_text().splitlines()) - 1
        for path in (run.results(config) / "samples").glob("*.csv")
    }
    assert len(found) == 2 * (1 + 3) * len(images)
    for (trial, shard), asked in found.items():
        models = 2 if "repeats/" in trial else 2 * 3
        assert asked == minutes("predict", images[shard], models=models), (trial, shard)
    assert len(set(found.values())) > 1, "too few images to tell models apart"
