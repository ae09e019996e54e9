"""`segpipe predict`: files of any kind through trained models, without a workflow.

The same functions as in the workflow read, prepare, predict and write, so the masks have the same pixels.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from segpipe import __version__
from segpipe.config import Predict
from segpipe.config.data import have_label_values
from segpipe.config.stages import PreprocessStage
from segpipe.errors import ConfigError, QuarantineError
from segpipe.files.source import file_stamp
from segpipe.files.space import check_space
from segpipe.files.table import write_csv
from segpipe.log import logger, plain, track
from segpipe.masks.encode import Layout, mask_form
from segpipe.masks.store import TABLE as MASK_TABLE
from segpipe.models.card import pictures_wanted, read_card
from segpipe.predict.ensemble import Ensemble, by_name, find_models
from segpipe.predict.files import Links, find_images, refuse_foreign
from segpipe.predict.pipeline import read_ahead
from segpipe.predict.writer import BATCHES_AHEAD, MaskWriter, Picture
from segpipe.preprocess.geometry import Geometry
from segpipe.preprocess.read import read_images
from segpipe.preprocess.store import Reading
from segpipe.samples.sample import Sample
from segpipe.score.calibration import FACTS

TABLE = "predictions.csv"
# Of what is known of an image: keys and hashes that serve other stages, and nothing of the patient.
LEFT_OUT = {"patient", "patient_source", "site", "fold_wanted", "picture", "content", "perceptual_hash", "thumbnail"}
_UNSHOWN = ("parity", *FACTS)  # of a run, not of a mask; and what the report of a run has
# Of a picture, to tell how much room masks need before any is read: about those of a flat detector, and of a byte.
PIXELS, PIXELS_PER_BYTE = 8_000_000, 4


def predict_folder(
    places: Sequence[str],
    models: Sequence[Path],
    output: Path,
    predict: Predict,
    links: Links = "inside",
    seconds_per_image: int = 120,
    threads: int = 1,
) -> pd.DataFrame:
    """Write the masks of all files of ``places`` (folders, files, patterns) and ``predictions.csv`` into ``output``.

    Returns the table, a row per file. Masks that are there and still right are kept. Memory does not grow with the
    number of files, but for a row each. ``threads`` is how many cores read and how many compute; they change no byte.

    Raises:
        InputError, ConfigError: there is no such file or model, or the models do not belong together.
    """
    folders = by_name([folder for place in models for folder in find_models(place)])
    first = next(iter(folders.values()))
    card = read_card(first)
    preprocess, dicom, raster = pictures_wanted(card, first)
    ensemble = Ensemble(folders, card.classes, preprocess, dicom, predict, threads, wanted_by=f"{first}")
    ensemble.load()
    root, samples = find_images(places, output, links)
    stage = PreprocessStage(
        root=root,
        classes={},  # no reference masks
        missing_mask="quarantine",
        links=links,
        version=__version__,
        patient_salt_file=None,
        patient_salt_stamp="",
        seconds_per_image=seconds_per_image,
        dicom=dicom,
        raster=raster,
        preprocess=preprocess,
    )
    form = mask_form(predict.form, card.classes, have_label_values(card.classes))
    layout = Layout(card.classes, form, predict.masks, predict.probabilities)
    files = [name for sample in samples for name in layout.names(sample.image_id)]
    refuse_foreign(output, [TABLE, *(files if layout.kind == "files" else [MASK_TABLE])])
    predictor = FolderPredictor(stage, samples, MaskWriter(ensemble, predict, form, card.classes, output))
    with closing(predictor):
        failed = predictor.run([sample for sample in samples if not predictor.is_done(sample)])
        rows = [failed.get(sample.image_id) or predictor.row(sample) for sample in samples]
    table = pd.DataFrame(rows).convert_dtypes()
    write_csv(table, output / TABLE)
    _warn(table, set(predictor.store.journal.image_ids()), output)
    return table


class FolderPredictor:
    """Files, how they are read, and what predicts and writes."""

    def __init__(self, stage: PreprocessStage, samples: Sequence[Sample], writer: MaskWriter) -> None:
        self._stage, self._samples, self._writer = stage, samples, writer
        self.store, self._ensemble = writer.store, writer.ensemble
        self._names = list(self._ensemble.folders)
        self._keys = self._cache_keys()  # before files are read: one that changes later is another next time
        self._seen = self._ensemble.pictures_seen()

    def is_done(self, sample: Sample) -> bool:
        """Whether the file is the same as when its masks were made, and all else, too."""
        return self.store.keeps(sample.image_id, self._keys[sample.image_id])

    def run(self, todo: Sequence[Sample]) -> dict[str, dict[str, Any]]:
        """Predict and write, and bring masks to their place; returns the rows of images without masks."""
        failed: dict[str, dict[str, Any]] = {}
        self._check_space(todo)
        self.store.journal.rewrite()  # before the first mask: what lies beside a journal is ours
        with (
            read_images(todo, self._stage, self._ensemble.cores.number) as readings,
            read_ahead(batches(zip(todo, readings, strict=True), self._ensemble.batch_size), BATCHES_AHEAD) as ahead,
            closing(self._writer.write(self._pictures(ahead, failed))) as finished,
        ):
            deque(track(chain(finished, failed), len(todo), "predict"), maxlen=0)
        self.store.finish()
        return failed

    def row(self, sample: Sample) -> dict[str, Any]:
        """An image with masks, as the journal has it."""
        entry = self.store.journal[sample.image_id]
        facts = {name: value for name, value in entry.facts.items() if name not in _UNSHOWN}
        masks_sha256 = entry.content(self._writer.layout.mask_names(sample.image_id))
        made = {"masks_sha256": masks_sha256, "models": " ".join(self._names), "engine": self._ensemble.engine}
        return columns(sample, {**facts, **made, "form": self._writer.form})

    def close(self) -> None:
        """Give open files back."""
        self.store.close()

    def _pictures(
        self, found: Iterable[list[tuple[Sample, Reading]]], failed: dict[str, dict[str, Any]]
    ) -> Iterator[list[Picture]]:
        """What can be predicted of each batch; the others become rows of ``failed``."""
        for batch in found:
            for sample, reading in batch:
                if reading.image is None:
                    failed[sample.image_id] = self._fail(sample, reading)
            yield [self._picture(sample, reading) for sample, reading in batch if reading.image is not None]

    def _fail(self, sample: Sample, reading: Reading) -> dict[str, Any]:
        logger.warning("quarantined %s: %s", plain(sample.image), plain(reading.row["reason"]))
        self.store.discard(sample.image_id)
        return columns(sample, reading.row)

    def _picture(self, sample: Sample, reading: Reading) -> Picture:
        facts = {name: value for name, value in reading.row.items() if name not in LEFT_OUT}
        facts |= {"status": "predicted", "seen": reading.row["picture"] in self._seen}
        geometry = Geometry.of_row(dict(reading.row.items()))
        assert reading.image is not None
        key = self._keys[sample.image_id]
        return Picture(sample.image_id, sample.image, reading.image, geometry, key, self._names, facts)

    def _cache_keys(self) -> dict[str, str]:
        # With the folder, too: files of two patients may have the same name, size and time.
        folder, stage = self._stage.root.resolve(), self._stage
        wanted = [each.model_dump(mode="json") for each in (stage.preprocess, stage.dicom, stage.raster)]
        files = {sample.image_id: folder / sample.image for sample in self._samples}
        return {
            image_id: self._writer.cache_key(f"{file} {file_stamp(file)} {wanted}", self._names)
            for image_id, file in files.items()
        }

    def _check_space(self, todo: Sequence[Sample]) -> None:
        pixels = sum(_pixels(self._stage.root / sample.image) for sample in todo)
        expected = self._writer.layout.expected_bytes(len(todo), pixels, self._stage.preprocess.size)
        check_space(self.store.folder, expected, f"masks of {len(todo)} files")


def batches(found: Iterable[tuple[Sample, Reading]], size: int) -> Iterator[list[tuple[Sample, Reading]]]:
    """As many images at a time as are predicted together; those that cannot be read come along with their reasons."""
    batch: list[tuple[Sample, Reading]] = []
    for sample, reading in found:
        batch.append((sample, reading))
        if sum(read.image is not None for _, read in batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def columns(sample: Sample, facts: dict[str, Any]) -> dict[str, Any]:
    """A row of the table: who and what became of it first."""
    first = {"image_id": sample.image_id, "image": sample.image, "status": "", "reason": ""}
    made = dict.fromkeys(("models", "form", "engine", "masks_sha256", "removed_pixels", "filled_pixels", "seen"))
    return {**first, **made, **{name: value for name, value in facts.items() if name not in LEFT_OUT}}


def _warn(table: pd.DataFrame, journal: set[str], output: Path) -> None:
    """Pictures that the models know, and masks of earlier calls, which nobody asked to delete."""
    others, seen = journal - set(table["image_id"]), int(table["seen"].sum())
    if seen:
        logger.warning(
            "%d of these pictures trained the models (column seen): their masks are better than those of new ones",
            seen,
        )
    if others:
        logger.warning(
            "%s also holds masks of %d images that are not among the files now; %s does not list them",
            output, len(others), TABLE,
        )  # fmt: skip


def _pixels(path: Path) -> int:
    """At most about so many are in a file."""
    try:
        return min(PIXELS, PIXELS_PER_BYTE * path.stat().st_size)
    except OSError:  # its row will say so
        return 0


def predict_options(**values: Any) -> Predict:
    """The options of the command as the config's section ``predict``.

    Raises:
        ConfigError: a value is out of its range.
    """
    try:
        return Predict(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        raise ConfigError(f"--{option} {first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}.") from None


def outcome(table: pd.DataFrame, tolerate: float, output: Path) -> str:
    """What became of the images, in a sentence.

    Raises:
        QuarantineError: more of them than the share ``tolerate`` have no masks, or all.
    """
    bad = int((table["status"] == "quarantined").sum())
    text = f"{len(table) - bad} of {len(table)} images have masks: {output}"
    if bad and (bad == len(table) or bad / len(table) > tolerate):
        raise QuarantineError(
            f"{text}. {bad} could not be read ({bad / len(table):.1%}), more than --tolerate allows ({tolerate:.1%}); "
            f"the column reason of {output / TABLE} says why."
        )
    return text + (f"; {bad} could not be read, see the column reason of {TABLE}" if bad else "")
