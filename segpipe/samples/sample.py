"""One image of the run, its files, and the names and keys derived from them."""

import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import quote

from segpipe.errors import ImageError

# Longest first, so that .nii.gz goes as a whole. Other endings stay: 1.2.840.113 is a name, not a suffix.
SUFFIXES = (".nii.gz", ".dicom", ".jpeg", ".tiff", ".dcm", ".png", ".jpg", ".tif", ".bmp", ".gif", ".nii")
LONGEST_ID = 150  # bytes; leaves room for suffixes in file systems that take 255
_SAFE = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,{LONGEST_ID - 1}}}")


@dataclass(frozen=True, slots=True)
class Sample:
    """An image with the masks it should have; paths are relative to the data root.

    ``masks`` maps "" to one file for all classes, or class names to a file each. ``patient`` is a key
    (:func:`patient_key`), empty where neither sheet nor pattern names a patient. ``invert`` is "" (as the
    file says), "true" or "false". ``carried`` are further columns on their way to the report. ``stamp`` is what
    the scan saw of the files (:func:`segpipe.files.source.file_stamp`), the image's first.
    """

    image_id: str
    image: str
    masks: Mapping[str, str] = field(default_factory=dict)
    patient: str = ""
    site: str = ""
    fold: str = ""
    invert: str = ""
    carried: Mapping[str, str] = field(default_factory=dict)
    stamp: str = ""


@dataclass(frozen=True)
class Listing:
    """The samples of a run, which can be gone through once, so that a million of them need not be held at a time."""

    samples: Iterator[Sample]
    carried: list[str]  # names of the carried columns
    masks: list[str]  # names that the samples' ``masks`` may have, sorted


def image_id_from_path(path: str) -> str:
    """A name that is unique to the path, stable, and safe as a file name on any system.

    >>> image_id_from_path("site a/IM 1.dcm")
    'site%20a__IM%201'
    """
    lower = path.lower()
    if lower.endswith(SUFFIXES):
        path = path[: -len(next(suffix for suffix in SUFFIXES if lower.endswith(suffix)))]
    return safe_name(path)


def safe_name(text: str) -> str:
    """Percent-encode what is not a letter, digit, dot, dash or underscore; ``/`` becomes ``__``."""
    plain = text.replace("/", "__")
    if _SAFE.fullmatch(plain):
        return plain
    name = "__".join(quote(part, safe="") for part in text.split("/")).replace("~", "%7E")
    name = re.sub(r"^\.", "%2E", name)  # neither hidden nor "..", whatever the archive did
    if len(name) > LONGEST_ID:
        name = f"{name[: LONGEST_ID - 17]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return name


def patient_key(patient: str, salt: bytes) -> str:
    """A key that stands for the patient in every output: HMAC-SHA-256 of the identifier, 64 bits of it."""
    return hmac.digest(salt, patient.encode(), "sha256").hex()[:16]


def read_salt(path: Path | None) -> bytes:
    """The user's secret, or a fixed one: keys are then stable everywhere, and guessable from a list of names."""
    return path.read_bytes().strip() if path else b"segpipe"


def inside(root: Path, path: str, links: Literal["inside", "follow"] = "inside") -> Path:
    """The file below the data root that ``path`` names.

    Raises:
        ImageError: an absolute path, or one that climbs out of the root; and, unless ``links`` is follow, one that a
            symbolic link at any of its levels leads out. The root itself may be a link.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise ImageError(
            "the path leaves the data folder (data.root). Outputs carry relative paths only; set data.root to a "
            "folder that holds all files."
        )
    if links == "inside" and leads_out(root, path):
        raise ImageError(
            "is a symbolic link, or lies behind one, that leads out of the data folder (data.root). A set of files "
            "from elsewhere could show anything of this machine that way; if the link is yours, set data.links to "
            "follow."
        )
    return root / pure


def mask_inside(root: Path, path: str, links: Literal["inside", "follow"] = "inside") -> Path:
    """:func:`inside` for a mask, which its errors name."""
    try:
        return inside(root, path, links)
    except ImageError as error:
        raise ImageError(f"mask {path} {error}") from None


def leads_out(root: Path, path: str) -> bool:
    """Whether symbolic links lead from ``root/path`` out of the root. Links in a circle lead nowhere."""
    place, top = os.path.realpath(root / path), os.path.realpath(root)
    return place != top and not place.startswith(top.rstrip("/") + "/")
