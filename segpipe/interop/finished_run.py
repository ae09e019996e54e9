"""A finished run: its images, and what was predicted for each, as the export formats read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from segpipe.config import Classes, Config
from segpipe.config.stages import PredictStage, load_stage
from segpipe.config.variants import RUN
from segpipe.errors import ImageError, InputError
from segpipe.images.read import read_radiograph
from segpipe.masks.encode import MaskForm, encode_png
from segpipe.masks.store import MaskReader
from segpipe.preprocess.intensity import apply_window, choose_window
from segpipe.samples.sample import inside
from segpipe.samples.scan import Scan, read_scan

NOT_PREDICTED = "has no mask: its patient trained the only model (folds.scheme: holdout)"
_STORED = ["image_id", "image", "status", "reason", "sha256", "format", "rows", "columns", "inverted", "invert_source"]
_SPACING = ["spacing_row_mm", "spacing_column_mm"]
_PREDICTED = ["image_id", "predicted", "models", "form", "masks"]


@dataclass(frozen=True)
class RunImage:
    """One image of the run; ``image`` is its path below ``data.root``, ``spacing`` (of rows, of columns) in mm.

    ``without_mask`` says why it has no mask; it is blank where it has one, and only then the size and the rest are
    known.
    """

    image_id: str
    image: str
    shard: str
    without_mask: str = ""
    rows: int = 0
    columns: int = 0
    spacing: tuple[float, float] | None = None
    format: str = ""
    sha256: str = ""
    models: tuple[str, ...] = ()
    invert: bool | None = None  # the sheet's word on polarity


@dataclass(frozen=True)
class Exported:
    """A row of exported.csv: ``files`` relative to the output; without one, ``reason`` says why."""

    image_id: str
    files: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()


class FinishedRun:
    """The tables and masks of a run that was predicted."""

    def __init__(self, config: Config) -> None:
        self.config, self.folder = config, config.folder
        self._reader: tuple[str, MaskReader] | None = None

    @cached_property
    def _scan(self) -> Scan:
        return read_scan(self.config)

    @cached_property
    def shards(self) -> list[str]:
        """Names of the shards of the last scan."""
        return sorted(self._scan.shards)

    @cached_property
    def classes(self) -> Classes:
        """The classes that were predicted, in the order of the masks."""
        return load_stage(self.folder / self._scan.stage(f"{RUN}predict"), PredictStage).classes

    @cached_property
    def form(self) -> MaskForm:
        """How this run writes masks: as one label image or one for each class."""
        forms = {form for shard in self.shards for form in self._predictions(shard)["form"]}
        if len(forms) > 1:
            raise InputError(
                f"{self.folder}: shards have masks of different forms. Run snakemake until it is finished."
            )
        return next(iter(forms), "per_class")

    def images(self, image_ids: Sequence[str] = ()) -> list[RunImage]:
        """All images by image_id, or those asked for.

        Raises:
            InputError: an image that was asked for is not in the run, or a table is missing.
        """
        found = {image.image_id: image for shard in self.shards for image in self._of_shard(shard)}
        unknown = sorted(set(image_ids) - found.keys())
        if unknown:
            example = f", as {min(found)}" if found else ""
            raise InputError(f"--image-id {unknown[0]}: the run has no such image. It has {len(found)}{example}.")
        return [found[image_id] for image_id in sorted(set(image_ids) or found)]

    def path(self, image: RunImage) -> Path:
        """The image's file."""
        return inside(self.config.data.root, image.image, self.config.data.links)

    def masks(self, image: RunImage) -> np.ndarray:
        """What was predicted, (classes, rows, columns) bool at the original size."""
        if self._reader is None or self._reader[0] != image.shard:
            self.close()
            predictions = self._predictions(image.shard).query("predicted")
            reader = MaskReader.of_shard(self.folder / "masks" / image.shard, predictions, self.classes)
            self._reader = image.shard, reader
        masks = self._reader[1].masks(image.image_id)
        if masks.shape[1:] != (image.rows, image.columns):
            raise InputError(
                f"{image.image_id}: its mask has {masks.shape[1]} x {masks.shape[2]} pixels, the image "
                f"{image.rows} x {image.columns}. Run snakemake until it is finished, then export."
            )
        return masks

    def view(self, image: RunImage) -> bytes:
        """What a viewer shows of the image: a grey PNG of 8 bits with the pixels of the masks, bone bright, windowed
        as the run does it.

        Raises:
            ImageError: the file cannot be read any more, or has another size than in the run.
        """
        config = self.config
        radiograph = read_radiograph(self.path(image), config.dicom, image.invert, config.raster)
        if radiograph.pixels.shape != (image.rows, image.columns):
            raise ImageError("has another size than in the run; run snakemake, then export")
        window = choose_window(radiograph, radiograph.pixels, config.preprocess, config.dicom)
        return encode_png(apply_window(radiograph.pixels, window, np.dtype(np.uint8)))

    def close(self) -> None:
        """Give open files back."""
        if self._reader:
            self._reader[1].close()
            self._reader = None

    def _of_shard(self, shard: str) -> Iterator[RunImage]:
        stored = _read(self.folder / "shards" / shard / "table.parquet", [*_STORED, *_SPACING])
        predictions = self._predictions(shard)[["image_id", "predicted", "models"]]
        for row in stored.merge(predictions, on="image_id", how="left").to_dict("records"):
            name, image = str(row["image_id"]), str(row["image"])
            if row["status"] == "quarantined":
                yield RunImage(name, image, shard, f"is quarantined: {row['reason']}")
            elif row["predicted"] is not True:
                yield RunImage(name, image, shard, NOT_PREDICTED)
            else:
                mm = [float(row[column]) for column in _SPACING if pd.notna(row[column])]
                yield RunImage(
                    name,
                    image,
                    shard,
                    rows=int(row["rows"]),
                    columns=int(row["columns"]),
                    spacing=(mm[0], mm[1]) if len(mm) == 2 else None,
                    format=str(row["format"]),
                    sha256=str(row["sha256"]),
                    models=tuple(str(row["models"]).split()),
                    invert=bool(row["inverted"]) if row["invert_source"] == "sheet" else None,
                )

    def _predictions(self, shard: str) -> pd.DataFrame:
        return _read(self.folder / "predictions" / f"{shard}.parquet", _PREDICTED)


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: the run is not finished. Run snakemake, then export.") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(
            f"{path} is damaged or of another version ({type(error).__name__}). Delete it, run snakemake, then export."
        ) from None
