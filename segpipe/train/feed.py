"""The training images of each epoch: their order, and one process's part of it as batches on the device."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from segpipe.stages import TrainStage
from segpipe.train.augment.draws import RECIPES
from segpipe.train.augment.listed import ListedAugmentation
from segpipe.train.batching import Batching
from segpipe.train.data import Batch, Pictures, batches, epoch_order, listed_batches
from segpipe.train.distributed import Team


class Feed:
    """Order and augmentation follow from (seed, epoch, image), so that any step of any epoch can be begun at.

    Raises:
        ConfigError: a step cannot be shared out evenly, or a listed transform is wrong.
    """

    def __init__(
        self, stage: TrainStage, rows: pd.DataFrame, shards: Path, seed: int, team: Team, batch_size: int
    ) -> None:
        self.batching = Batching(len(rows), batch_size, team.size)
        self._rows, self._shards, self._seed, self._team = rows, shards, seed, team
        self._config, self._classes = stage.train, list(stage.classes)
        wanted = stage.train.augment
        self._recipe = RECIPES[wanted] if isinstance(wanted, str) else None
        self._listed = None if isinstance(wanted, str) else ListedAugmentation(wanted, seed, self._classes)

    def batches(self, epoch: int, first_step: int) -> Iterator[Batch]:
        """This process's part of the epoch's steps from ``first_step`` on, augmented."""
        mine = self.batching.of_process(self._order(epoch), self._team.rank, first_step)
        pictures, size = Pictures(mine, self._shards, len(self._classes)), self.batching.per_process
        device, workers = self._team.device, self._config.workers
        if self._listed:
            return listed_batches(pictures, size, device, False, self._listed, epoch, workers)
        return batches(pictures, size, device, False, self._recipe, self._seed, epoch)

    def names(self, epoch: int, step: int) -> str:
        """The images of a step, of all processes."""
        return ", ".join(self.batching.of_step(self._order(epoch), step)["image_id"])

    def _order(self, epoch: int) -> pd.DataFrame:
        return epoch_order(self._rows, self._seed, epoch)
