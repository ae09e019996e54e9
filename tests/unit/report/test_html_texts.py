"""Every language says everything, with the same gaps, and the page asks for nothing that is not there."""

import re

import pytest

from segpipe.report.page.page import FOLDER as STATIC
from segpipe.report.page.texts import FOLDER, filled, languages, load_texts

_GAP = re.compile(r"\{(\w+)\}")
# Keys that templates and scripts put together from parts.
BUILT = ("nav.", "cases.", "viewer.", "data.", "methods.", "scores.")


def test_there_are_english_and_chinese():
    assert languages() == ["en", "zh"]


@pytest.mark.parametrize("language", languages())
def test_a_language_has_the_keys_and_gaps_of_english(language):
    english, other = load_texts("en"), load_texts(language)
    assert list(other) == list(english)
    for key, text in english.items():
        assert set(_GAP.findall(other[key])) == set(_GAP.findall(text)), key


def test_the_page_asks_for_texts_that_are_there_and_uses_all_of_them():
    known = set(load_texts("en"))
    sources = [*STATIC.glob("*.js"), *(FOLDER.parent / "templates").glob("*.j2")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    asked = set(re.findall(r"""(?:\bt\(|words\(|text\[|data-t(?:-\w+)?=)["']([a-z_]+\.[a-z_]+)["']""", text))
    assert len(asked) > 80
    assert asked - known == set()
    unused = {key for key in known - asked if not key.startswith(BUILT)}
    assert unused == set()


def test_a_value_may_hold_braces():
    assert filled("{a} of {b}", {"a": "{x}", "b": 3}) == "{x} of 3"
