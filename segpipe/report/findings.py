"""The printed report of `segpipe validate`: what is in a set, and what is worth a look."""

import re
from collections.abc import Iterator, Sequence

import pandas as pd

from segpipe.config import Checks
from segpipe.dataset.flags import count_flags, worst
from segpipe.preprocess.quality import share_column
from segpipe.report.summary import counted, text_table

MOST = 4  # images named for each finding
MOST_REASONS = 10
_NAME_OR_NUMBER = re.compile(r"^mask .+?\.\w+ |\d+")  # by which reasons differ that have one cause


def findings_report(images: pd.DataFrame, classes: Sequence[str], checks: Checks) -> str:
    """Several short paragraphs for a terminal; ``images`` are rows with :func:`segpipe.dataset.flags.with_checks`."""
    parts = [_counts(images), _quarantined(images), _reading(images)]
    parts += [_areas(images, classes), _folds(images), _flags(images, checks), _duplicates(images)]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part)


def _counts(images: pd.DataFrame) -> Iterator[str]:
    statuses = images["status"].value_counts()
    counts = ", ".join(f"{statuses.get(name, 0)} {name}" for name in ("labelled", "unlabelled", "quarantined"))
    known = images[images["patient"].fillna("") != ""]
    patients = f" of {counted(known['patient'].nunique(), 'patient')}" if len(known) else ""
    yield f"{counted(len(images), 'image')}{patients}: {counts}"
    alone = int((known["patient_source"] == "image").sum())
    if alone:
        yield f"{counted(alone, 'image')} without a patient in sheet, pattern or file: each counts as one of its own"


def _quarantined(images: pd.DataFrame) -> Iterator[str]:
    """A reason for each cause: that of its first image, and which other images have the like."""
    groups = quarantined_by_cause(images)
    if not groups:
        return
    yield "Quarantined"
    for group in groups[:MOST_REASONS]:
        first, *others = group["image_id"]
        yield f"  {first}: {group['reason'].iloc[0]}"
        if others:
            yield f"    likewise {_some(others)}"
    if len(groups) > MOST_REASONS:
        left = sum(map(len, groups[MOST_REASONS:]))
        yield f"  and {counted(left, 'image')} more, for {counted(len(groups) - MOST_REASONS, 'reason')}"


def quarantined_by_cause(images: pd.DataFrame) -> list[pd.DataFrame]:
    """Quarantined rows by cause, the commonest first; reasons of one cause may differ in names and numbers."""
    bad = images[images["status"] == "quarantined"].sort_values("image_id")
    causes = bad["reason"].astype(str).map(lambda reason: _NAME_OR_NUMBER.sub("#", reason))
    groups = [rows for _, rows in bad.groupby(causes)]
    return sorted(groups, key=lambda rows: (-len(rows), str(rows["image_id"].iloc[0])))


def _reading(images: pd.DataFrame) -> Iterator[str]:
    usable = images[images["status"] != "quarantined"]
    if usable.empty:
        return
    yield f"Formats: {_tally(usable['format'])}"
    rows, columns = (usable[name].astype(int) for name in ("rows", "columns"))
    order = (rows * columns).argsort()
    small, large = order.iloc[0], order.iloc[-1]
    sizes = f"{rows.iloc[small]} x {columns.iloc[small]}"
    if (rows.iloc[small], columns.iloc[small]) != (rows.iloc[large], columns.iloc[large]):
        sizes += f" to {rows.iloc[large]} x {columns.iloc[large]}"
    yield f"Sizes: {sizes} pixels (rows x columns)"
    known = usable["spacing_row_mm"].notna()
    source = f" ({_tally(usable.loc[known, 'spacing_source'])})" if known.any() else ""
    yield f"Spacing: known for {int(known.sum())} of {len(usable)}{source}"
    yield f"Polarity: {int(usable['inverted'].astype(bool).sum())} of {len(usable)} turned over to show bone bright"
    notes = usable["notes"].str.split("; ").explode().str.partition(":")[0]
    notes = notes[~notes.isin(["", "mask_empty"])]  # empty masks are counted by class
    if len(notes):
        yield f"Notes: {_tally(notes)}"


def _areas(images: pd.DataFrame, classes: Sequence[str]) -> Iterator[str]:
    labelled = images[images["status"] == "labelled"]
    if labelled.empty or not classes:
        return
    rows: list[tuple[str, ...]] = [("class", "images", "empty", "median area", "smallest", "largest")]
    for name in classes:
        shares = labelled[share_column(name)].astype("float64")
        there = shares[shares > 0]
        areas = (f"{100 * value:.1f} %" if len(there) else "" for value in (there.median(), there.min(), there.max()))
        rows.append((name, str(len(there)), str(len(shares) - len(there)), *areas))
    yield text_table(rows)


def _folds(images: pd.DataFrame) -> Iterator[str]:
    if "fold" not in images:
        return
    labelled = images[(images["status"] == "labelled") & (images["fold"] != "")]
    counts = labelled.groupby("fold")["patient"].agg(["size", "nunique"])
    yield "Folds: " + ", ".join(
        f"{fold}: {counted(row['size'], 'image')} of {counted(row['nunique'], 'patient')}"
        for fold, row in counts.iterrows()
    )


def _flags(images: pd.DataFrame, checks: Checks) -> Iterator[str]:
    counts = count_flags(images["flags"])
    if not counts:
        yield "No flags."
        return
    flagged = int((images["flags"] != "").sum())
    yield f"Worth a look: {counted(flagged, 'image')} with flags (docs/checks.md), the worst of each:"
    width = max(map(len, counts))
    for flag, count in counts.items():
        values = worst(images, flag, checks)
        named = [f"{name} ({value:.3g})" for name, value in values.head(MOST).items()]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        yield f"  {flag:<{width}}  {count:>4}: {', '.join(named)}{more}"


def _duplicates(images: pd.DataFrame) -> Iterator[str]:
    exact, near = (images[images[name] != ""] for name in ("duplicate_of", "near_duplicate_of"))
    if exact.empty and near.empty:
        yield "No duplicates, neither exact nor near."
        return
    yield f"Duplicates: {len(exact)} exact, {len(near)} near"
    for found, column, word in ((exact, "duplicate_of", "is"), (near, "near_duplicate_of", "is nearly")):
        pairs = sorted(zip(found["image_id"], found[column], strict=True))
        yield from (f"  {copy} {word} {original}" for copy, original in pairs[:MOST])
        if len(pairs) > MOST:
            yield f"  and {len(pairs) - MOST} more"


def _tally(values: pd.Series) -> str:
    return ", ".join(f"{name} {count}" for name, count in values.value_counts().sort_index().items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
