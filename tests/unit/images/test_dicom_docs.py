"""The page on DICOM is complete: every element that is read, every note that is written."""

import re
from pathlib import Path

import pytest
from pydicom.datadict import dictionary_description, tag_for_keyword
from pydicom.tag import Tag

from segpipe.images.dicom.header import KEYWORDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "dicom.md").read_text()


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_every_element_that_is_read_is_documented_with_its_tag(keyword: str) -> None:
    tag = Tag(tag_for_keyword(keyword))
    assert f"({tag.group:04X},{tag.element:04X})" in PAGE
    assert dictionary_description(tag) in PAGE


def test_every_note_is_documented() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "segpipe" / "images" / "dicom").glob("*.py")))
    notes = set(re.findall(r'\bnote\(\s*f?"(\w+)', source)) | {"transfer_syntax_guessed"}
    assert len(notes) > 20
    assert [note for note in sorted(notes) if f"`{note}" not in PAGE] == []
