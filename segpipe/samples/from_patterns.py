"""Samples from patterns: each file that matches is an image, its wildcards become columns."""

from pathlib import Path

from segpipe.config import Data
from segpipe.errors import ConfigError, InputError
from segpipe.io.stamp import MISSING, file_stamp
from segpipe.samples.patterns import constant_folder, fill, list_files, pattern_regex, wildcard_names
from segpipe.samples.sample import Sample, image_id_from_path, leads_out, patient_key


def samples_from_patterns(data: Data, salt: bytes, results: Path | None = None) -> tuple[list[Sample], list[str]]:
    """All samples, and the names of the carried columns; nothing below ``results`` is an input.

    Raises:
        ConfigError: a mask pattern uses a wildcard that an image pattern lacks.
        InputError: an image pattern matches no file, or the mask patterns none for any image.
    """
    names = wildcard_names("".join(data.images))
    carried = [name for name in names if name not in ("patient", "site")]
    masks = data.masks if isinstance(data.masks, dict) else {"": data.masks} if data.masks else {}
    samples: list[Sample] = []
    for pattern in data.images:
        _check_wildcards(pattern, masks)
        found = _matches(data, pattern, results)
        if not found:
            raise InputError(_nothing_found(data, pattern))
        samples += [_sample(pattern, path, values, masks, str(data.root), salt, carried) for path, values in found]
    if masks and not any(sample.masks for sample in samples):
        raise InputError(_no_masks(data, masks, len(samples)))
    if data.missing_mask == "quarantine":
        for name, mask in masks.items():
            if not any(name in sample.masks for sample in samples):
                raise InputError(_no_masks(data, {name: mask}, len(samples)))
    return samples, carried


def _matches(data: Data, pattern: str, results: Path | None = None) -> list[tuple[str, dict[str, str]]]:
    regex = pattern_regex(pattern)
    found = (
        (path, regex.fullmatch(path)) for path in list_files(data.root, constant_folder(pattern), results, data.links)
    )
    return [(path, match.groupdict()) for path, match in found if match]


def _sample(
    pattern: str,
    path: str,
    values: dict[str, str],
    masks: dict[str, str],
    root: str,
    salt: bytes,
    carried: list[str],
) -> Sample:
    wanted = {name: fill(mask, values) for name, mask in masks.items()}
    return Sample(
        image_id=image_id_from_path(path.removeprefix(constant_folder(pattern))),
        image=path,
        # No mask file at all means unlabelled; some but not all is for the reader of the masks to judge.
        masks={name: mask for name, mask in wanted.items() if file_stamp(f"{root}/{mask}") != MISSING},
        patient=patient_key(values["patient"], salt) if "patient" in values else "",
        site=values.get("site", ""),
        carried={name: values.get(name, "") for name in carried},
    )


def _check_wildcards(pattern: str, masks: dict[str, str]) -> None:
    for name, mask in masks.items():
        unknown = set(wildcard_names(mask)) - set(wildcard_names(pattern))
        if unknown:
            key = f"data.masks.{name}" if name else "data.masks"
            raise ConfigError(
                f"{key}: the wildcard {{{sorted(unknown)[0]}}} of {mask!r} is not in the image pattern {pattern!r}, "
                "so the mask of an image cannot be named. Use the same wildcards in both."
            )


def _no_masks(data: Data, masks: dict[str, str], images: int) -> str:
    path, values = _matches(data, data.images[0])[0]
    name, mask = next(iter(masks.items()))
    what = f"a mask of the class {name}" if len(masks) == 1 and name else "a mask"
    return (
        f"data.masks: none of the {images} images has {what}. For {path} segpipe looked for {fill(mask, values)} below "
        f"{data.root}. Check the patterns; to apply a trained model to unlabelled images, leave data.masks out "
        "and give model.weights."
    )


def _nothing_found(data: Data, pattern: str) -> str:
    folder = constant_folder(pattern)
    files = sorted(list_files(data.root, folder, links=data.links))
    where = f"{data.root / folder}"
    if data.links == "inside" and leads_out(data.root, folder):
        return (
            f"data.images: {pattern!r} matches no file, since {where} is a link that leads out of data.root. "
            "If that is meant, set data.links to follow; or set data.root to where the files are."
        )
    if not files:
        return (
            f"data.images: {pattern!r} matches no file; {where} does not exist or is empty. "
            "Check data.root and the pattern."
        )
    return (
        f"data.images: {pattern!r} matches none of the {len(files)} files in {where} (for example {files[0]!r}). "
        "A wildcard matches within one folder level; check the folders, the suffix and the underscores."
    )
