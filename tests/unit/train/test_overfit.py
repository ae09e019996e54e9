"""Whether network, loss and optimizer work at all."""

import pandas as pd

from segpipe.models.device import fix_arithmetic
from segpipe.train.data import TrainLoader
from segpipe.train.distributed import join
from segpipe.train.seeds import learning_rate
from segpipe.train.step import TrainStep
from segpipe.train.validation import validation_miou
from tests.unit.prepared import stage

EPOCHS = 50
OPTIONS = {"channels": [24, 48, 48], "factor": 2}  # the default network, made for 64 x 64


def test_eight_images_are_learned_by_heart(prepared):
    plain = stage("train", augment="none", epochs=EPOCHS)
    model = plain.model.model_copy(update={"network": "subpixel_unet", "options": OPTIONS})
    whole, shards = plain.model_copy(update={"model": model}), prepared / "shards"
    rows = pd.read_parquet(prepared / "dataset.parquet").iloc[:8]
    with join("cpu") as team:
        fix_arithmetic(1, True, False)
        feed, learner = TrainLoader(whole, rows, shards, 0, team, 2), TrainStep(whole, 0, team)
        steps = feed.steps
        for epoch in range(EPOCHS):
            learner.begin_epoch(epoch + 1)
            for number, (images, masks) in enumerate(feed.batches(epoch + 1, 0), start=epoch * steps):
                rate = learning_rate(number, EPOCHS * steps, steps, whole.train.learning_rate)
                learner.run(images, masks, rate, number)
        assert validation_miou(learner.evaluated, rows, shards, 2, 2, team.device) > 0.98
