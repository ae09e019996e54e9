"""What jobs ask their scheduler for, held against what benchmarks/RESULTS.md measured."""

import pytest

from segpipe.config.costs import HEADROOM, MEMORY_MB, SECONDS_PER_IMAGE, START_MINUTES, memory_mb, minutes

SNAKEMAKE_MB = 300  # a SLURM job holds two of them beside its command
# Stage, images, CPU seconds, MB: growth.py, memory.py, readers.py (JPEG 2000), predict_profile.py, surface.py.
MEASURED = [
    ("preprocess", 1_000, 129, 710),
    ("predict", 1_000, 160, 766),
    ("score", 1_000, 56, 218),
    ("dataset", 100_000, 45.5, 680),
    ("report", 100_000, 65.4, 931),
]


@pytest.mark.parametrize(("stage", "images", "seconds", "mb"), MEASURED)
def test_what_was_measured_fits_in_with_room_to_spare(stage, images, seconds, mb):
    assert SECONDS_PER_IMAGE[stage] * images >= seconds
    assert minutes(stage, images) * 60 >= 5 * seconds
    assert memory_mb(stage, images) >= 1.5 * (mb + SNAKEMAKE_MB)


@pytest.mark.parametrize("stage", SECONDS_PER_IMAGE)
def test_time_grows_with_images_from_what_starting_takes(stage):
    assert minutes(stage, 0) == START_MINUTES
    few, many = minutes(stage, 1_000), minutes(stage, 100_000)
    assert many > few
    assert many == pytest.approx(START_MINUTES + 100_000 * SECONDS_PER_IMAGE[stage] * HEADROOM / 60, abs=1)


@pytest.mark.parametrize("stage", MEMORY_MB)
@pytest.mark.parametrize("attempt", [2, 3])
def test_each_attempt_asks_for_as_much_again(stage, attempt):
    first = memory_mb(stage, 500)
    assert first > SNAKEMAKE_MB + 600
    assert memory_mb(stage, 500, attempt) == attempt * first
    if stage in SECONDS_PER_IMAGE:
        assert minutes(stage, 5_000, attempt) == pytest.approx(attempt * minutes(stage, 5_000), abs=attempt)


def test_an_image_that_goes_through_more_models_takes_more_time():
    one, ten = (minutes("predict", 512, models=models) - START_MINUTES for models in (1, 10))
    assert ten == pytest.approx(10 * one, abs=10)


def test_a_shard_of_the_usual_size_fits_into_an_hour_and_common_nodes():
    for stage in ("preprocess", "predict", "score"):
        assert minutes(stage, 512) <= 60
        assert memory_mb(stage, 512) <= 4_000


def test_only_what_gathers_all_images_needs_memory_by_their_number():
    for stage in MEMORY_MB:
        grows = memory_mb(stage, 1_000_000) > memory_mb(stage, 1_000)
        assert grows == (stage in ("dataset", "report")), stage
    assert memory_mb("dataset", 100_000) == 2_000
