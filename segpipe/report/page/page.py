"""report.html: gathering what the page shows, and writing it."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from segpipe.config.load import shareable
from segpipe.config.stages import ReportStage
from segpipe.files.atomic import write_text
from segpipe.log import logger
from segpipe.report.cases import KINDS, Shown
from segpipe.report.columns import report_columns
from segpipe.report.findings import quarantined_by_cause
from segpipe.report.page.packed import Packed, pack_table, script_json
from segpipe.report.page.run_facts import RunFacts
from segpipe.report.page.texts import REFERENCES, filled, languages, load_texts, paragraph
from segpipe.score.columns import BACKGROUND

MOST_BYTES = 15_000_000  # of the page, which mail servers still take
_REST = 1_500_000  # bytes kept free for all that is neither a picture nor a column of the table
MOST_ROWS = 50  # of duplicates and reasons; the rest is in the case browser
_PATHS = ("root", "patient_salt_file", "patient_salt_stamp")
_TEMPLATES = Path(__file__).parent / "templates"
FOLDER = Path(__file__).parent / "static"
STYLES = ("vendor/uplot.css", "page.css", "browser.css", "viewer.css", "print.css")
SCRIPTS = (
    "columns.js",
    "language.js",
    "theme.js",
    "filters.js",
    "sorting.js",
    "browser.js",
    "controls.js",
    "layers.js",
    "zoom.js",
    "viewer.js",
    "plots.js",
    "distributions.js",
    "group_table.js",
    "dots.js",
    "curves.js",
    "start.js",
)
LIBRARY = "vendor/uplot.js"


@dataclass(frozen=True)
class Assets:
    """Texts for the page's style and script elements, and the Content-Security-Policy that names their hashes."""

    style: str
    library: str
    script: str
    policy: str


def load_assets() -> Assets:
    """Read the files; the script's parts share one scope, so that none of their names is global."""
    style = "\n".join(_read(name) for name in STYLES)
    script = '(() => {\n"use strict";\n' + "\n".join(_read(name) for name in SCRIPTS) + "\n})();\n"
    library = _read(LIBRARY)
    policy = (
        f"default-src 'none'; img-src data:; script-src {_hash(library)} {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Assets(style, library, script, policy)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As Content Security Policy Level 3, 2.3.1, writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def class_rows(table: pd.DataFrame, summary: Mapping[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    """One row per class and the background, with the quartiles and whiskers of IoU for the drawn strip.

    Whiskers reach the last value within 1.5 interquartile ranges of the box (Tukey 1977).
    """
    scored = table[table["status"] == "scored"]
    rows = []
    for name in [*classes, BACKGROUND]:
        values = scored[f"iou_{name}"].dropna()
        if values.empty:
            continue
        low, middle, high = values.quantile([0.25, 0.5, 0.75])
        reach = 1.5 * (high - low)
        inside = values[(values >= low - reach) & (values <= high + reach)]
        box = {"q1": low, "median": middle, "q3": high, "low": inside.min(), "high": inside.max(), "min": values.min()}
        rows.append({"name": name, "n": len(values), **summary["classes"].get(name, {}), **box})
    return rows


def fold_rows(table: pd.DataFrame, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Images, patients and mean scores of each fold."""
    patients = table[table["status"] == "scored"].groupby("fold")["patient"].nunique()
    return [
        {"fold": fold, "n": found["n"], "patients": int(patients.get(fold, 0)), "miou": found.get("miou_mean"),
         "miou_foreground": found.get("miou_foreground_mean")}
        for fold, found in summary.get("folds", {}).items()
    ]  # fmt: skip


def reason_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Quarantined images by cause, the commonest first; the reason is that of the first image."""
    return [
        {"reason": rows["reason"].iloc[0], "n": len(rows), "images": [str(name) for name in rows["image_id"][:3]]}
        for rows in quarantined_by_cause(table)[:MOST_ROWS]
    ]


def duplicate_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Images that show what an earlier one shows, exact copies first."""
    rows = []
    for kind in ("duplicate_of", "near_duplicate_of"):
        copies = table[table[kind].astype(str) != ""]
        rows += [
            {"kind": kind, "image_id": str(name), "of": str(of)}
            for name, of in zip(copies["image_id"], copies[kind], strict=True)
        ]
    return rows[:MOST_ROWS]


def group_rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The groups of summary.json as texts, fractions with three decimals; none where there are none."""
    return [
        {key: f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
         for key, value in row.items()}
        for row in summary.get("groups", [])
    ]  # fmt: skip


def csv_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a small CSV as texts; none where it is missing."""
    if not path.is_file():
        return []
    table = pd.read_csv(path, dtype=str, keep_default_na=False, nrows=200)
    return [{str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")]


def write_page(
    stage: ReportStage,
    facts: RunFacts,
    results: Path,
    table: pd.DataFrame,
    summary: Mapping[str, Any],
    shown: Sequence[Shown],
) -> None:
    """Write ``report.html`` into ``results``.

    ``table`` and ``summary`` are those of report.csv and summary.json. The same files in ``results`` and the same
    versions give the same bytes.
    """
    html = page(stage, table, summary, shown, facts, csv_rows(results / "comparison.csv"))
    write_text(results / "report.html", html)
    logger.info("report.html: %.1f MB, %d pictures", len(html.encode()) / 1e6, len(shown))


def page(
    stage: ReportStage,
    table: pd.DataFrame,
    summary: Mapping[str, Any],
    shown: Sequence[Shown],
    facts: RunFacts,
    comparison: list[dict[str, str]],
) -> str:
    """The page's HTML; what is left out of its table for its size is said in the log and on the page."""
    texts = {language: load_texts(language) for language in languages()}
    context = {
        "stage": stage, "summary": summary, "facts": facts,
        "further": {"comparison": comparison, "groups": group_rows(summary)},
        "language": stage.language, "languages": list(texts), "assets": load_assets(),
        "kinds": KINDS, "shown": shown, "cases": _case_facts(table, shown), "references": REFERENCES,
        "classes": class_rows(table, summary, stage.classes), "folds": fold_rows(table, summary),
        "reasons": reason_rows(table), "duplicates": duplicate_rows(table),
        "paragraphs": {name: paragraph(facts, summary, found) for name, found in texts.items()},
        "formats": _formats(table), "t": _translator(texts[stage.language]), "text": texts[stage.language],
    }  # fmt: skip
    pictures = sum(len(one.image) + sum(map(len, one.reference + one.prediction)) for one in shown)
    packed, left_out = pack_table(table, MOST_BYTES - pictures - _REST)
    if left_out:
        logger.warning("report.html: columns left out, since it may have 15 MB: %s", ", ".join(left_out))
    data = script_json(_data(stage, table, texts, packed, facts))
    return _template().render(context | {"columns": packed, "data": data, "left_out": left_out})


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["score"] = lambda value, digits=3: "" if value is None else f"{float(value):.{digits}f}"
    environment.filters["shown_config"] = _shown_config
    return environment.get_template("page.html.j2")


def _shown_config(config: Mapping[str, Any]) -> str:
    """A stage's config without paths of this machine."""
    shown = shareable({key: value for key, value in config.items() if key not in _PATHS})
    return json.dumps(shown, indent=1, ensure_ascii=False)


def _translator(texts: Mapping[str, str]) -> Any:
    """``t(key, n=3)`` for templates: a span with the text, which the page's script can say in another language."""

    def translate(key: str, **gaps: Any) -> Markup:
        text = filled(texts[key], gaps)
        kept = Markup(' data-gaps="{}"').format(json.dumps(gaps, ensure_ascii=False)) if gaps else Markup("")
        return Markup('<span data-t="{}"{}>{}</span>').format(key, kept, escape(text))

    return translate


def _data(
    stage: ReportStage,
    table: pd.DataFrame,
    texts: Mapping[str, Mapping[str, str]],
    packed: Sequence[Packed],
    facts: RunFacts,
) -> dict[str, Any]:
    """What the page's script needs besides the columns themselves."""
    described = {
        column.name: column.description
        for column in report_columns(stage.classes, stage.carried, range(1, stage.repeats + 1), stage.score)
    }
    return {
        "rows": len(table),
        "classes": stage.classes,
        "columns": [
            {
                "name": one.name,
                "kind": one.kind,
                "decimals": one.decimals,
                "words": one.words,
                "about": described.get(one.name, ""),
            }
            for one in packed
        ],
        "curves": {model.name: model.history for model in facts.models if model.history},
        "texts": texts,
    }


def _case_facts(table: pd.DataFrame, shown: Sequence[Shown]) -> dict[str, dict[str, Any]]:
    """Rows of the report of the images that are shown."""
    rows = table[table["image_id"].isin({one.image_id for one in shown})]
    return {str(row["image_id"]): {str(key): value for key, value in row.items()} for row in rows.to_dict("records")}


def _formats(table: pd.DataFrame) -> list[tuple[str, int]]:
    counts = table.loc[table["format"].astype(str) != "", "format"].value_counts()
    return sorted(((str(name), int(count)) for name, count in counts.items()), key=lambda pair: (-pair[1], pair[0]))
