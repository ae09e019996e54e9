"""`segpipe explain`: every step done to one image, with numbers and a picture."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segpipe import __version__
from segpipe.config import Config, Data, Dicom, Preprocess, Raster
from segpipe.config.load import load_config
from segpipe.config.stages import PreprocessStage, stage_configs
from segpipe.errors import InputError
from segpipe.files.atomic import atomic_path
from segpipe.preprocess.read import read_sample
from segpipe.preprocess.transforms import preprocessing
from segpipe.samples.sample import Sample, read_salt
from segpipe.samples.scan import list_samples


def explain_image(image: str, config: Path | None, picture: Path) -> str:
    """The story of one image; ``picture`` shows it as decoded and as the network sees it.

    Raises:
        InputError: no such image.
    """
    sample, stage = _of_run(image, load_config(config)) if config else _of_file(Path(image))
    compose = preprocessing(stage.classes, stage.missing_mask, stage.preprocess, stage.dicom, stage.root, stage.raster)
    data, row = read_sample(sample, stage, compose, read_salt(stage.patient_salt_file))
    if data is None:
        return f"{sample.image}\n  quarantined: {row['reason']}"
    _draw(data, picture)
    return "\n".join(
        [sample.image, *(f"  {line}" for line in _steps(row, data, list(stage.classes))), f"  picture: {picture}"]
    )


def _of_run(image: str, config: Config) -> tuple[Sample, PreprocessStage]:
    samples, carried = list_samples(config)
    stage = stage_configs(config, carried)["preprocess"]
    assert isinstance(stage, PreprocessStage)
    for sample in samples:
        if image == sample.image_id or Path(image) in (Path(sample.image), config.data.root / sample.image):
            return sample, stage
    raise InputError(
        f"{image!r} is neither an image_id nor a path of this run; it has {len(samples)} images, "
        f"as {samples[0].image_id} ({samples[0].image})."
    )


def _of_file(path: Path) -> tuple[Sample, PreprocessStage]:
    if not path.exists():
        raise InputError(f"{path} does not exist. To name an image by its id, give the run's --config.")
    stage = PreprocessStage(
        root=path.parent,
        classes={},
        missing_mask="quarantine",
        version=__version__,
        patient_salt_file=None,
        patient_salt_stamp="",
        links="follow",  # the user named this file
        seconds_per_image=Data.model_fields["seconds_per_image"].default,
        dicom=Dicom(),
        raster=Raster(),
        preprocess=Preprocess(),
    )
    return Sample(image_id=path.name, image=path.name), stage


def _steps(row: dict[str, Any], data: dict[str, Any], classes: Sequence[str]) -> Iterator[str]:
    syntax = f", transfer syntax {row['transfer_syntax']}" if row["transfer_syntax"] else ""
    modality = f" {row['modality']}" if row["modality"] else ""
    size = f"{row['rows']} rows x {row['columns']} columns"
    yield f"read: {row['format']}{modality}, {size}, {row['bits_stored']} bits{syntax}"
    yield f"modality LUT: {row['modality_lut']}"
    yield f"VOI: {row['voi']}"
    inverted = f"{'inverted' if row['inverted'] else 'not inverted'} (decided by {row['invert_source']})"
    yield f"polarity: {row['photometric_interpretation'] or 'undeclared'}, {inverted}"
    yield f"spacing: {_spacing(row)}"
    yield (
        f"fit: {row['fit']}, to {row['fitted_rows']} x {row['fitted_columns']} in a square of {row['size']} "
        f"(scale {row['scale_row']:.4f} x {row['scale_column']:.4f}, {row['pad_top']} rows above, "
        f"{row['pad_left']} columns left)"
    )
    low, high = row["intensity_low"], row["intensity_high"]
    yield f"intensity: {low:g} becomes black, {high:g} white ({row['intensity_method']})"
    if "mask" in data:
        shares = zip(classes, (100 * channel.mean() for channel in data["mask"]), strict=True)
        yield f"mask: {', '.join(f'{name} covers {share:.1f} %' for name, share in shares)} of the square"
    yield f"notes: {row['notes'] or 'none'}"
    yield f"status: {row['status']}"


def _spacing(row: dict[str, Any]) -> str:
    if row["spacing_row_mm"] is None:
        return "unknown, so nothing is measured in mm"
    return f"{row['spacing_row_mm']:g} x {row['spacing_column_mm']:g} mm ({row['spacing_source']})"


def _draw(data: dict[str, Any], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    before, after = figure.subplots(1, 2)
    radiograph = data["radiograph"]
    low, high = radiograph.display_range or radiograph.value_range
    before.imshow(radiograph.pixels, cmap="gray", vmin=low, vmax=high)
    before.set_title(f"as decoded, {low:g} to {high:g}")
    after.imshow(data["image"][0], cmap="gray", vmin=0, vmax=np.iinfo(data["image"].dtype).max)
    after.set_title("as the network sees it")
    for channel in data.get("mask", ()):
        if channel.any() and not channel.all():
            after.contour(channel, levels=[0.5], colors="#E69F00", linewidths=1)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
