"""Gathering what the page shows, and writing it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from segpipe.io.atomic import write_text
from segpipe.log import logger
from segpipe.provenance.paths import shareable
from segpipe.report.columns import report_columns
from segpipe.report.html import tables
from segpipe.report.html.assets import load_assets
from segpipe.report.html.methods import REFERENCES, paragraph
from segpipe.report.html.packed import Packed, pack_table, script_json
from segpipe.report.html.run_facts import RunFacts, read_facts
from segpipe.report.html.shown import KINDS, Shown, choose_shown, draw
from segpipe.report.html.texts import filled, languages, load_texts
from segpipe.report.pictures import read_pictures
from segpipe.stages import PredictStage, ReportStage

MOST_BYTES = 15_000_000  # of the page, which mail servers still take
_ABOUT_COLUMNS = 200_000  # bytes kept free for their names and descriptions
_PATHS = ("root", "patient_salt_file", "patient_salt_stamp")
_TEMPLATES = Path(__file__).parent / "templates"


def write_page(
    stage: ReportStage,
    predict: PredictStage,
    results: Path,
    shards: Sequence[str],
    table: pd.DataFrame,
    summary: Mapping[str, Any],
) -> None:
    """Write ``report.html`` into ``results``.

    ``table`` and ``summary`` are those of report.csv and summary.json. The same files in ``results`` and the same
    versions give the same bytes.
    """
    wanted = choose_shown(table, stage.cases, stage.seed)
    pictures = read_pictures({name for _, name in wanted}, predict, results, shards)
    shown = [draw(kind, name, pictures[name], stage.classes) for kind, name in wanted]
    html = page(stage, table, summary, shown, read_facts(results), tables.csv_rows(results / "comparison.csv"))
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
    bounds = tables.interval(summary, "miou")
    context = {
        "stage": stage, "summary": summary, "facts": facts, "bounds": bounds,
        "further": {"comparison": comparison, "groups": tables.group_rows(summary)},
        "language": stage.language, "languages": list(texts), "assets": load_assets(),
        "kinds": KINDS, "shown": shown, "cases": _case_facts(table, shown), "references": REFERENCES,
        "classes": tables.class_rows(table, summary, stage.classes), "folds": tables.fold_rows(table, summary),
        "reasons": tables.reason_rows(table), "duplicates": tables.duplicate_rows(table),
        "paragraphs": {name: paragraph(facts, summary, bounds, found) for name, found in texts.items()},
        "formats": _formats(table), "t": _translator(texts[stage.language]), "text": texts[stage.language],
    }  # fmt: skip
    template = _template()
    data = script_json(_data(stage, table, texts, [], facts))
    without = template.render(context | {"columns": [], "data": data, "left_out": []})
    packed, left_out = pack_table(table, MOST_BYTES - len(without.encode()) - _ABOUT_COLUMNS)
    if left_out:
        logger.warning("report.html: columns left out, since it may have 15 MB: %s", ", ".join(left_out))
    data = script_json(_data(stage, table, texts, packed, facts))
    return template.render(context | {"columns": packed, "data": data, "left_out": left_out})


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
