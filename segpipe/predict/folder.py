"""`segpipe predict`: files of any kind through trained models, without a workflow."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from segpipe import __version__
from segpipe.config import Dicom, Predict, Preprocess, Raster
from segpipe.config.data import have_label_values
from segpipe.config.stages import PreprocessStage
from segpipe.errors import ConfigError, QuarantineError
from segpipe.files.space import check_space
from segpipe.files.stamp import file_stamp
from segpipe.files.table import write_csv
from segpipe.log import logger, plain, track
from segpipe.masks.encode import Layout, mask_form
from segpipe.masks.store import TABLE as MASK_TABLE
from segpipe.models.card import ModelCard, pictures_wanted, read_card
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from segpipe.predict.ensemble import Ensemble, by_name, find_models
from segpipe.predict.files import Links, find_images, refuse_foreign
from segpipe.predict.prefetch import ReadAhead
from segpipe.predict.writer import BATCHES_AHEAD, MaskWriter, Picture
from segpipe.preprocess.geometry import Geometry
from segpipe.preprocess.read import PRELOAD, image_reader, quarantined
from segpipe.preprocess.store import Reading
from segpipe.samples.sample import Sample
from segpipe.score.calibration import FACTS

# What is asked of `segpipe predict`, and the files on their way to a batch.

LEFT_OUT = {"patient", "patient_source", "site", "fold_wanted", "picture", "content", "perceptual_hash", "thumbnail"}
"""Of what is known of an image: keys and hashes that serve other stages, and nothing of the patient."""


@dataclass(frozen=True)
class Wish:
    """What is to be predicted, by what, and where to."""

    places: Sequence[str]  # folders, files, patterns
    models: Sequence[Path]
    output: Path
    predict: Predict
    links: Links = "inside"
    seconds_per_image: int = 120
    readers: int = 1  # processes that read ahead


def reading_stage(root: Path, wish: Wish, preprocess: Preprocess, dicom: Dicom) -> PreprocessStage:
    """How files are read: as the models want it, and without references."""
    return PreprocessStage(
        root=root,
        classes={},  # no reference masks
        missing_mask="quarantine",
        links=wish.links,
        version=__version__,
        patient_salt_file=None,
        patient_salt_stamp="",
        seconds_per_image=wish.seconds_per_image,
        dicom=dicom,
        raster=Raster(),
        preprocess=preprocess,
    )


def batches(found: Iterable[tuple[Sample, Reading | ItemFailure]], size: int) -> Iterator[list[tuple[Sample, Reading]]]:
    """As many images at a time as are predicted together; those that cannot be read come along with their reasons."""
    batch: list[tuple[Sample, Reading]] = []
    for sample, reading in found:
        batch.append(
            (sample, Reading(quarantined(sample, reading.reason)) if isinstance(reading, ItemFailure) else reading)
        )
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


# `segpipe predict`: files of any kind through trained models, without a workflow.
#
# The same functions as in the workflow read, prepare, predict and write, so the masks have the same pixels.

TABLE = "predictions.csv"
# Of a picture, to tell how much room masks need before any is read: about those of a flat detector, and of a byte.
PIXELS, PIXELS_PER_BYTE = 8_000_000, 4

_UNSHOWN = ("parity", *FACTS)  # of a run, not of a mask; and what the report of a run has


def predict_folder(wish: Wish) -> pd.DataFrame:
    """Write the masks of all files and ``predictions.csv`` into ``wish.output``; returns the table, a row per file.

    Masks that are there and still right are kept. Memory does not grow with the number of files, but for a row each.

    Raises:
        InputError, ConfigError: there is no such file or model, or the models do not belong together.
    """
    work = Work(wish)
    with closing(work):
        failed = work.run([sample for sample in work.samples if not work.is_done(sample)])
        rows = [failed.get(sample.image_id) or work.row(sample) for sample in work.samples]
    table = pd.DataFrame(rows).convert_dtypes()
    write_csv(table, wish.output / TABLE)
    work.say_what_is_odd(table)
    return table


class Work:
    """Models, files and masks of one wish."""

    def __init__(self, wish: Wish) -> None:
        self.wish, self.output = wish, wish.output
        folders = by_name([folder for place in wish.models for folder in find_models(place)])
        first = next(iter(folders.values()))
        self._card: ModelCard = read_card(first)
        preprocess, dicom = pictures_wanted(self._card, first)
        classes = self._card.classes
        self.ensemble = Ensemble(folders, classes, preprocess, dicom, wish.predict, wanted_by=f"{first}")
        form = mask_form(wish.predict.form, classes, have_label_values(classes))
        self.ensemble.load()
        self._root, self.samples = find_images(wish.places, wish.output, wish.links)
        self._stage = reading_stage(self._root, wish, preprocess, dicom)
        layout = Layout(classes, form, wish.predict.masks, wish.predict.probabilities)
        files = [name for sample in self.samples for name in layout.names(sample.image_id)]
        refuse_foreign(wish.output, [TABLE, *(files if layout.kind == "files" else [MASK_TABLE])])
        self._writer = MaskWriter(self.ensemble, wish.predict, form, classes, wish.output)
        self._writer.store.journal.rewrite()  # before the first mask: what lies beside a journal is ours
        self._names = list(folders)
        self._recipes = self._recipes_now()  # before files are read: one that changes later is another next time
        self._seen = self.ensemble.pictures_seen()

    def is_done(self, sample: Sample) -> bool:
        """Whether the file is the same as when its masks were made, and all else, too."""
        return self._writer.store.keeps(sample.image_id, self._recipes[sample.image_id])

    def run(self, todo: Sequence[Sample]) -> dict[str, dict[str, Any]]:
        """Predict and write, and bring masks to their place; returns the rows of images without masks."""
        failed: dict[str, dict[str, Any]] = {}
        self._check_space(todo)
        limits = Limits(self.wish.seconds_per_image)
        with (
            isolated_map(image_reader, (self._stage,), todo, limits, self.wish.readers, PRELOAD) as readings,
            ReadAhead(batches(zip(todo, readings, strict=True), self.ensemble.batch_size), BATCHES_AHEAD) as ahead,
            self._writer.behind() as behind,
        ):

            def finished() -> Iterator[object]:
                for batch in ahead:
                    for sample, reading in batch:
                        if reading.image is None:
                            failed[sample.image_id] = self._fail(sample, reading)
                            yield sample
                    pictures = [
                        self._picture(sample, reading) for sample, reading in batch if reading.image is not None
                    ]
                    yield from self._writer.predict(pictures, behind)
                yield from self._writer.finish(behind)

            deque(track(finished(), len(todo), "predict"), maxlen=0)
        self._writer.store.finish()
        return failed

    def row(self, sample: Sample) -> dict[str, Any]:
        """An image with masks, as the journal has it."""
        entry = self._writer.store.journal[sample.image_id]
        facts = {name: value for name, value in entry.facts.items() if name not in _UNSHOWN}
        masks_sha256 = entry.content(self._writer.layout.mask_names(sample.image_id))
        made = {"masks_sha256": masks_sha256, "models": " ".join(self._names), "engine": self.ensemble.engine}
        return columns(sample, {**facts, **made, "form": self._writer.form})

    def say_what_is_odd(self, table: pd.DataFrame) -> None:
        """Pictures that the models know, and masks of earlier calls, which nobody asked to delete."""
        others = set(self._writer.store.journal.image_ids()) - set(table["image_id"])
        seen = int(table["seen"].sum())
        if seen:
            logger.warning(
                "%d of these pictures trained the models (column seen): their masks are better than those of new ones",
                seen,
            )
        if others:
            logger.warning(
                "%s also holds masks of %d images that are not among the files now; %s does not list them",
                self.output,
                len(others),
                TABLE,
            )

    def close(self) -> None:
        """Give open files back."""
        self._writer.store.close()

    def _fail(self, sample: Sample, reading: Reading) -> dict[str, Any]:
        logger.warning("quarantined %s: %s", plain(sample.image), plain(reading.row["reason"]))
        self._writer.store.discard(sample.image_id)
        return columns(sample, reading.row)

    def _picture(self, sample: Sample, reading: Reading) -> Picture:
        facts = {name: value for name, value in reading.row.items() if name not in LEFT_OUT}
        facts |= {"status": "predicted", "seen": reading.row["picture"] in self._seen}
        geometry = Geometry.of_row(dict(reading.row.items()))
        assert reading.image is not None
        made_by = self._recipes[sample.image_id]
        return Picture(sample.image_id, sample.image, reading.image, geometry, made_by, self._names, facts)

    def _recipes_now(self) -> dict[str, str]:
        # With the folder, too: files of two patients may have the same name, size and time.
        folder, wanted = self._root.resolve(), (self._card.preprocess, self._card.dicom)
        files = {sample.image_id: folder / sample.image for sample in self.samples}
        return {
            image_id: self._writer.recipe(f"{file} {file_stamp(file)} {wanted}", self._names)
            for image_id, file in files.items()
        }

    def _check_space(self, todo: Sequence[Sample]) -> None:
        pixels = sum(_pixels(self._root / sample.image) for sample in todo)
        expected = self._writer.layout.expected_bytes(len(todo), pixels, self._stage.preprocess.size)
        check_space(self.output, expected, f"masks of {len(todo)} files")


def _pixels(path: Path) -> int:
    """At most about so many are in a file."""
    try:
        return min(PIXELS, PIXELS_PER_BYTE * path.stat().st_size)
    except OSError:  # its row will say so
        return 0


def settings(**values: Any) -> Predict:
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


def judge(table: pd.DataFrame, tolerate: float, output: Path) -> str:
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
