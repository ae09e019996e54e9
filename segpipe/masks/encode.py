"""Predicted masks as PNG, at the original size, in one of three forms; :mod:`segpipe.masks.store` keeps them.

``binary``: ``<image_id>.png``, 0 and 255, for a single class. ``labels``: ``<image_id>.png`` with the
config's pixel value of each class. ``per_class``: ``<image_id>.<class>.png``, 0 and 255 each, where classes
may overlap.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

from segpipe.config import Classes
from segpipe.config.data import label_values
from segpipe.errors import InputError

MaskForm = Literal["binary", "labels", "per_class"]

# Masks compress to a few KB in any way; this one is among the fastest to write (docs/mask-files.md has the figures).
PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)


def mask_form(wanted: Literal["auto", "labels", "per_class"], classes: Classes, label_masks: bool) -> MaskForm:
    """The form for a run: as its reference masks are, unless the config says otherwise."""
    if len(classes) == 1:
        return "binary"
    form: MaskForm = ("labels" if label_masks else "per_class") if wanted == "auto" else wanted
    if form == "labels":
        label_values(classes)  # or say what is wrong with them before anything is predicted
    return form


def mask_names(image_id: str, form: MaskForm, classes: Classes) -> list[str]:
    """The files of one image."""
    return [f"{image_id}.{name}.png" for name in classes] if form == "per_class" else [f"{image_id}.png"]


def encode_masks(masks: np.ndarray, form: MaskForm, classes: Classes) -> list[bytes]:
    """``masks`` (classes, rows, columns) bool as PNG files, in the order of :func:`mask_names`."""
    if form != "labels":
        return [encode_png(channel.astype(np.uint8) * 255) for channel in masks]
    return [encode_png(label_image(masks, classes))]


def label_image(masks: np.ndarray, classes: Classes) -> np.ndarray:
    """``masks`` (classes, rows, columns) bool as one image with the config's value of each class, uint8 or uint16."""
    values = label_values(classes)
    labels = np.zeros(masks.shape[1:], np.uint16 if max(values) > 255 else np.uint8)
    for value, channel in zip(values, masks, strict=True):
        labels[channel] = value
    return labels


def decode_masks(files: Sequence[bytes], form: MaskForm, classes: Classes) -> np.ndarray:
    """The reverse of :func:`encode_masks`, (classes, rows, columns) bool.

    Raises:
        ValueError: a file is no grey picture.
    """
    pictures = [decode_png(content) for content in files]
    if form != "labels":
        return np.stack([picture > 127 for picture in pictures])
    return np.stack([pictures[0] == value for value in label_values(classes)])


def encode_png(picture: np.ndarray) -> bytes:
    """A grey picture, uint8 or uint16 (rows, columns), as a PNG file."""
    written, encoded = cv2.imencode(".png", picture, PNG)
    if not written:
        raise InputError(f"A mask of {picture.shape} cannot be written as PNG.")
    return encoded.tobytes()


def decode_png(content: bytes) -> np.ndarray:
    """The reverse of :func:`encode_png`.

    Raises:
        ValueError: it is no grey picture.
    """
    buffer = np.frombuffer(content, np.uint8)
    picture = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED) if len(buffer) else None
    if picture is None or picture.ndim != 2:
        raise ValueError("no grey PNG")
    return np.asarray(picture)
