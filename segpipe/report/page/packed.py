"""Columns of a table as text that a browser unpacks: each compressed alone, so that only what is looked at is unpacked.

A column is deflated (RFC 1951, without header) and in base64. Inside are, for n rows:

- ``number``: n int32, the value times ``10 ** decimals``, :data:`MISSING` where there is none;
- ``codes``: the length of a JSON list of the different texts (uint32), that list in UTF-8, n uint16 that count in it;
- ``text``: a JSON list of n texts.

Integers are little-endian and in planes: the lowest bytes of all rows, then the next ones. What changes little from row
to row then lies together, which halves some columns.
"""

import base64
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from segpipe.files.table import is_score

MISSING = -(2**31)
_DIGITS = 5  # significant, of the largest value; report.csv has all
_MOST_DECIMALS = SCORE_DECIMALS = 6  # of scores as in report.csv
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")  # not 007, which is a name
_KEPT = ("image_id", "image", "patient", "status", "reason", "miou")  # without which the browser is of no use
_COUNTS = ("tp_", "fp_", "fn_", "tn_")


@dataclass(frozen=True)
class Packed:
    """One column; ``data`` is the base64 text, ``words`` how many different texts a column of codes has."""

    name: str
    kind: Literal["number", "codes", "text"]
    decimals: int
    data: str
    words: int = 0


def pack_table(table: pd.DataFrame, most: int) -> tuple[list[Packed], list[str]]:
    """The columns, and the names of those left out because all together would be larger than ``most`` characters.

    Left out are the counts of pixels first, whose scores stay, then the largest columns; never those of :data:`_KEPT`.
    """
    packed = [pack_column(str(name), table[name]) for name in table.columns]
    order = [column for column in packed if column.name not in _KEPT]
    order.sort(key=lambda column: (column.name.startswith(_COUNTS), len(column.data)))
    total, left_out = sum(len(column.data) for column in packed), set[str]()
    while total > most and order:
        column = order.pop()
        left_out.add(column.name)
        total -= len(column.data)
    return [column for column in packed if column.name not in left_out], sorted(left_out)


def pack_column(name: str, values: pd.Series) -> Packed:
    """One column in the smallest of the forms that can hold it."""
    numbers = as_numbers(name, values)
    if numbers is not None:
        decimals = SCORE_DECIMALS if is_score(name) else _decimals(numbers)
        if decimals is not None:
            whole = np.rint(numbers * 10.0**decimals)
            integers = np.where(np.isnan(whole), MISSING, whole).astype("<i4")
            return Packed(name, "number", decimals, _text(_planes(integers)))
    texts = _texts(values)
    codes, known = pd.factorize(texts, sort=True)
    if len(known) < 2**16 and len(known) <= max(16, len(texts) // 2):
        words = _json(list(known))
        length = np.array([len(words)], "<u4").tobytes()
        return Packed(name, "codes", 0, _text(length + words + _planes(codes.astype("<u2"))), len(known))
    return Packed(name, "text", 0, _text(_json(list(texts))))


def as_numbers(name: str, values: pd.Series) -> np.ndarray | None:
    """The column as float64, NaN where it is blank; None if it holds anything but numbers.

    Columns of a sample sheet are texts; one whose cells are blank or numbers, such as an age, is one of numbers.
    """
    if pd.api.types.is_bool_dtype(values.dtype) or name in ("image_id", "patient", "fold"):
        return None
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64").to_numpy(np.float64, na_value=np.nan)
    known = pd.unique(values)
    if not any(known) or not all(text == "" or _NUMBER.fullmatch(str(text)) for text in known):
        return None
    return pd.to_numeric(values.replace("", np.nan)).to_numpy(np.float64)


def script_json(value: Any) -> str:
    """JSON that may stand in a script element: no text in it ends the element or begins a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _decimals(numbers: np.ndarray) -> int | None:
    """Digits after the point that keep whole numbers whole, and of others as many as make sense; None: too large."""
    known = numbers[np.isfinite(numbers)]
    largest = float(np.abs(known).max(initial=0.0))
    if len(known) < np.count_nonzero(~np.isnan(numbers)) or largest >= 2**31 - 1:
        return None
    if (known == np.rint(known)).all():
        return 0
    decimals = _DIGITS - 1 - int(np.floor(np.log10(largest)))
    return max(0, min(_MOST_DECIMALS, decimals))


def _texts(values: pd.Series) -> np.ndarray:
    if pd.api.types.is_bool_dtype(values.dtype):
        values = values.map({True: "true", False: "false"})
    return values.astype("object").where(values.notna(), "").astype(str).to_numpy(object)


def _planes(integers: np.ndarray) -> bytes:
    return np.ascontiguousarray(integers).view(np.uint8).reshape(len(integers), integers.itemsize).T.tobytes()


def _json(texts: Sequence[str]) -> bytes:
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return base64.b64encode(packer.compress(data) + packer.flush()).decode()
