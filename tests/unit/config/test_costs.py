"""What jobs ask their scheduler for, held against what was measured."""

import pytest

from segpipe.config import Model, Train
from segpipe.config.costs import (
    HEADROOM,
    MEMORY_MB,
    MEMORY_MB_PER_THREAD,
    SECONDS_PER_IMAGE,
    START_MINUTES,
    STEP_MB,
    TRAIN_START_MB,
    memory_mb,
    minutes,
    threads_of_shard,
    train_memory_mb,
)
from segpipe.models.networks.registry import NETWORKS

SNAKEMAKE_MB = 300  # a SLURM job holds two of them beside its command
# Stage, images, CPU seconds, MB.
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


@pytest.mark.parametrize(("shards", "threads"), [(0, 16), (1, 16), (4, 4), (5, 3), (16, 1), (256, 1)])
def test_few_shards_take_many_cores_whatever_the_machine(shards, threads):
    assert threads_of_shard(shards) == threads


def test_each_process_of_a_shard_has_memory_of_its_own():
    assert (
        memory_mb("preprocess", 100, threads=3) == memory_mb("preprocess", 100) + 2 * MEMORY_MB_PER_THREAD["preprocess"]
    )
    assert memory_mb("predict", 100, threads=3) == memory_mb("predict", 100), "threads share it"


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


def train_mb(network="unet2015", size=512, attempt=1, options=None, **train):
    given = Train(**{"device": "cpu", **train})
    return train_memory_mb(Model(network=network, options=options or {}), given, size, attempt)


# Network, size, images a step, MB: peak of a process that trains two steps (segpipe.train.memory.try_steps).
TRAINED = [
    ("subpixel_unet", 512, 2, 751),
    ("unet", 384, 2, 837),
    ("basicunet", 384, 2, 1390),
    ("attentionunet", 384, 2, 1367),
    ("segresnet", 384, 2, 1242),
    ("dynunet", 384, 2, 1117),
    ("fcn", 384, 2, 927),
    ("deeplabv3plus", 384, 2, 2168),
    ("unet2015", 384, 2, 2886),
    ("unet_strided", 256, 2, 2338),
]


@pytest.mark.parametrize(("network", "size", "images", "mb"), TRAINED)
def test_what_a_training_took_fits_in_with_room_to_spare(network, size, images, mb):
    mb_of_step, _, _ = STEP_MB[network]
    estimate = TRAIN_START_MB + mb_of_step * images * size * size / 1e6
    assert mb < estimate < 4 * mb, "nor far from it"
    assert train_mb(network, size, batch_size=images) >= 1.5 * (mb + SNAKEMAKE_MB)


def test_memory_of_training_grows_with_images_size_and_width():
    usual = train_mb(batch_size=4)
    assert usual > MEMORY_MB["train"]
    assert train_mb(batch_size=8) > 1.5 * usual
    assert train_mb(size=1024, batch_size=4) > 3 * usual
    assert train_mb(options={"width": 16}, batch_size=4) < usual
    assert train_mb("unet", 1024, options={"channels": [64, 128]}, batch_size=8) > 2 * train_mb(
        "unet", 1024, batch_size=8
    )
    assert train_mb(batch_size=4, attempt=2) == 2 * usual
    assert train_mb(batch_size="auto") == train_mb(batch_size=2)


def test_what_a_gpu_holds_is_not_asked_of_the_node():
    assert train_mb(batch_size=64, device="cuda") == MEMORY_MB["train"]


def test_every_network_has_its_memory_and_the_option_of_its_width():
    assert set(STEP_MB) == set(NETWORKS)
    for name, (_, option, default) in STEP_MB.items():
        if option:
            value = NETWORKS[name]().model_dump()[option]
            assert default == (value[0] if isinstance(value, list) else value), name
