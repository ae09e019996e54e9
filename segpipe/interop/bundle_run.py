"""What a bundle's ``inference.json`` names beside MONAI's own parts; signatures here are a promise to old bundles."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from monai.data import Dataset
from monai.inferers import Inferer
from monai.transforms import Transform
from torch import nn

from segpipe.config import ClassValues, Predict
from segpipe.config.data import have_label_values
from segpipe.errors import InputError
from segpipe.files.atomic import write_bytes
from segpipe.files.table import write_csv
from segpipe.log import logger, plain, set_up_logging, track
from segpipe.masks.encode import Layout, mask_form
from segpipe.models.device import fix_arithmetic
from segpipe.models.weights import load_weights
from segpipe.predict.engines import ON_A_CPU
from segpipe.predict.ensemble import mean_probability
from segpipe.predict.files import find_images
from segpipe.predict.pipeline import Cores
from segpipe.predict.torch_engine import Eager
from segpipe.preprocess.read import reason


def image_files(folder: str, output: str) -> list[dict[str, Any]]:
    """All files below ``folder`` but those below ``output``, for MONAI's Dataset; none where there is no such folder.

    A bundle is also opened without being run; only :meth:`Evaluator.run` complains that there is no image.
    """
    if not Path(folder).is_dir():
        return []
    root, samples = find_images([folder], Path(output))
    return [
        {"image": root / sample.image, "image_id": sample.image_id, "name": sample.image, "invert": None}
        for sample in samples
    ]


def with_weights(network: nn.Module, weights: str, device: torch.device) -> nn.Module:
    """The network with the weights of a safetensors file, in eval mode on the device."""
    load_weights(network, Path(weights))
    return network.eval().to(device)


class Evaluator:
    """Applies a network to a dataset and writes masks and ``predictions.csv``.

    The steps are those of `segpipe predict`, but files are read here, without a process of their own. A file that
    cannot be used costs its row.
    """

    def __init__(
        self,
        dataset: Dataset,
        network: nn.Module,
        inferer: Inferer,
        postprocessing: Transform,
        predict: Predict,
        classes: dict[str, ClassValues],
        device: torch.device,
        output: str,
    ) -> None:
        self.dataset, self.postprocessing = dataset, postprocessing
        self.predict, self.classes, self.device, self.output = predict, classes, device, Path(output)
        self._cores = Cores(len(os.sched_getaffinity(0)))
        self._run = Eager(0, device, torch.float32, self._cores, inferer).prepare(network)
        self._batch_size = ON_A_CPU if predict.batch_size == "auto" else predict.batch_size
        self.form = mask_form(predict.form, classes, have_label_values(classes))

    def run(self) -> list[dict[str, str]]:
        """Predict all; returns the rows that it also writes.

        Raises:
            InputError: there is no image.
        """
        if not logger.handlers:
            set_up_logging(None)
        if not len(self.dataset):
            raise InputError("There is no image to predict: name a folder, --dataset_dir FOLDER.")
        fix_arithmetic(self._cores.number)
        self.output.mkdir(parents=True, exist_ok=True)
        rows = list(track(self._rows(), len(self.dataset), "predict"))
        write_csv(pd.DataFrame(rows), self.output / "predictions.csv")
        bad = sum(row["status"] == "quarantined" for row in rows)
        logger.info("%d of %d images have masks: %s", len(rows) - bad, len(rows), self.output)
        return rows

    def _rows(self) -> Iterator[dict[str, str]]:
        batch: list[Mapping[str, Any]] = []
        for index, source in enumerate(self.dataset.data):
            row = {"image_id": source["image_id"], "image": source["name"], "status": "predicted", "reason": ""}
            try:
                batch.append(self.dataset[index])
            except Exception as error:
                row |= {"status": "quarantined", "reason": reason(error)}
                logger.warning("quarantined %s: %s", plain(row["image"]), plain(row["reason"]))
            if len(batch) == self._batch_size or index + 1 == len(self.dataset):
                self._write(batch)
                batch = []
            yield row

    def _write(self, batch: Sequence[Mapping[str, Any]]) -> None:
        if not batch:
            return
        images = np.stack([data["image"][0] for data in batch])
        found = mean_probability(images, [self._run], self.device)
        layout = Layout(self.classes, self.form)
        for data, probability in zip(batch, found, strict=True):
            mask = self.postprocessing({"probability": probability, "geometry": data["geometry"]})["mask"]
            for name, content in layout.encode_masks(data["image_id"], mask).items():
                write_bytes(self.output / name, content)
