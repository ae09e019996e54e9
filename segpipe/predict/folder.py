"""`segpipe predict`: files of any kind through trained models, without a workflow.

The same functions as in the workflow read, prepare, predict and write, so the masks have the same pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from segpipe.config import Predict
from segpipe.errors import ConfigError, QuarantineError
from segpipe.ingest import PRELOAD, Reading, image_reader
from segpipe.io.atomic import remove_leftovers
from segpipe.io.predictions import have_label_values, mask_form, mask_names
from segpipe.io.stamp import file_stamp
from segpipe.isolation import Limits, isolated_map
from segpipe.log import logger, plain, track
from segpipe.model.card import ModelCard, pictures_wanted, read_card
from segpipe.predict.ensemble import Ensemble
from segpipe.predict.files import find_images, refuse_foreign
from segpipe.predict.models import by_name, find_models
from segpipe.predict.reading import LEFT_OUT, Wish, batches, columns, reading_stage
from segpipe.predict.writer import MaskWriter, Picture
from segpipe.preprocess.geometry import Geometry
from segpipe.report.table import write_report
from segpipe.samples.sample import Sample

TABLE = "predictions.csv"


def predict_folder(wish: Wish) -> pd.DataFrame:
    """Write the masks of all files and ``predictions.csv`` into ``wish.output``; returns the table, a row per file.

    Masks that are there and still right are kept. Memory does not grow with the number of files, but for a row each.

    Raises:
        InputError, ConfigError: there is no such file or model, or the models do not belong together.
    """
    work = Work(wish)
    remove_leftovers(wish.output)
    todo = [sample for sample in work.samples if not work.is_done(sample)]
    failed: dict[str, dict[str, Any]] = {}
    for row in track(work.run(todo), len(todo), "predict"):
        if row["status"] == "quarantined":
            failed[row["image_id"]] = row
    rows = [failed.get(sample.image_id) or work.row(sample) for sample in work.samples]
    table = pd.DataFrame(rows).convert_dtypes()
    write_report(table, wish.output / TABLE)
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
        files = [name for sample in self.samples for name in mask_names(sample.image_id, form, classes)]
        refuse_foreign(wish.output, [TABLE, *files])
        self._writer = MaskWriter(self.ensemble, wish.predict, form, classes, wish.output)
        self._writer.journal.rewrite()  # before the first mask: what lies beside a journal is ours
        self._names = list(folders)
        self._seen = self.ensemble.pictures_seen()

    def is_done(self, sample: Sample) -> bool:
        """Whether the file is the same as when its masks were made, and all else, too."""
        return self._writer.keeps(sample.image_id, self._recipe(sample))

    def run(self, todo: Sequence[Sample]) -> Iterator[dict[str, Any]]:
        """Predict and write; yields a row per image as it is done."""
        limits = Limits(self.wish.seconds_per_image)
        with isolated_map(image_reader, (self._stage,), todo, limits, self.wish.readers, PRELOAD) as readings:
            for batch in batches(zip(todo, readings, strict=True), self.ensemble.batch_size):
                yield from self._batch(batch)

    def row(self, sample: Sample) -> dict[str, Any]:
        """An image with masks, as the journal has it."""
        facts = self._writer.journal.facts(sample.image_id)
        made = {"masks_sha256": self._writer.journal.content(sample.image_id), "models": " ".join(self._names)}
        return columns(sample, {**facts, **made, "form": self._writer.form})

    def say_what_is_odd(self, table: pd.DataFrame) -> None:
        """Pictures that the models know, and masks of earlier calls, which nobody asked to delete."""
        seen, others = int(table["seen"].sum()), self._writer.journal.image_ids() - set(table["image_id"])
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

    def _batch(self, batch: Sequence[tuple[Sample, Reading]]) -> Iterator[dict[str, Any]]:
        pictures: list[Picture] = []
        read: list[tuple[Sample, dict[str, Any]]] = []
        for sample, reading in batch:
            if reading.image is None:
                logger.warning("quarantined %s: %s", plain(sample.image), plain(reading.row["reason"]))
                self._writer.discard(sample.image_id)
                yield columns(sample, reading.row)
            else:
                pictures.append(Picture(reading.image, Geometry.of_row(dict(reading.row.items()))))
                read.append((sample, reading.row))
        found = self._writer.predict(pictures, self._names) if pictures else ()
        for (sample, row), data in zip(read, found, strict=True):
            facts = {name: value for name, value in row.items() if name not in LEFT_OUT}
            facts |= {"status": "predicted", "seen": row["picture"] in self._seen}
            self._writer.write(sample.image_id, self._recipe(sample), data, facts)
            yield self.row(sample)

    def _recipe(self, sample: Sample) -> str:
        # With the folder, too: files of two patients may have the same name, size and time.
        file = self._root.resolve() / sample.image
        wanted = (self._card.preprocess, self._card.dicom)
        return self._writer.recipe(f"{file} {file_stamp(file)} {wanted}", self._names)


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
