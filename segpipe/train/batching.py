"""How an epoch's images are cut into steps, and each step's into the parts of several processes."""

from dataclasses import dataclass

import pandas as pd

from segpipe.errors import ConfigError


@dataclass(frozen=True)
class Batching:
    """``images`` an epoch, at most ``size`` a step. The rest is left out: a lone image upsets batch statistics.

    Raises:
        ConfigError: a step cannot be shared out evenly; then the processes' mean would not be that of the images.
    """

    images: int
    size: int
    processes: int = 1

    def __post_init__(self) -> None:
        if self.per_step % self.processes:
            few = " (there are no more training images)" if self.per_step < self.size else ""
            raise ConfigError(
                f"train.batch_size: {self.per_step} images a step{few} cannot be shared evenly by {self.processes} "
                f"processes. batch_size counts the images of all of them; use a multiple of {self.processes}, or "
                "another --nproc-per-node."
            )

    @property
    def per_step(self) -> int:
        """Images in each step, of all processes."""
        return min(self.size, self.images)

    @property
    def per_process(self) -> int:
        """Images in each step of one process."""
        return self.per_step // self.processes

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return self.images // self.per_step

    def of_step(self, order: pd.DataFrame, step: int) -> pd.DataFrame:
        """The images of a step, of all processes."""
        return order.iloc[step * self.per_step :][: self.per_step]

    def of_process(self, order: pd.DataFrame, rank: int, first_step: int) -> pd.DataFrame:
        """What process ``rank`` trains on in the steps from ``first_step`` on, in this order."""
        whole = order.iloc[first_step * self.per_step : self.steps * self.per_step]
        places = [place for place in range(len(whole)) if place % self.per_step // self.per_process == rank]
        return whole.iloc[places]
