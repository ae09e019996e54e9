"""Burned In Annotation (0028,0301) and Recognizable Visual Features (0028,0302): YES, NO, or nothing."""

import pytest

from segpipe.images.read import read_radiograph
from tests.unit.images.pictures import asymmetric, dataset_of, file_of


@pytest.mark.parametrize(("said", "kept"), [("YES", "YES"), ("NO", "NO"), ("PHICANARY", ""), ("", "")])
def test_only_the_defined_terms_are_kept(said, kept):
    tags = {"BurnedInAnnotation": said, "RecognizableVisualFeatures": said}
    decisions = read_radiograph(file_of(dataset_of(asymmetric(), 8, **tags))).decisions
    assert decisions.burned_in_annotation == kept
    assert decisions.recognizable_visual_features == kept


def test_files_that_do_not_say_have_blanks():
    decisions = read_radiograph(file_of(dataset_of(asymmetric(), 8))).decisions
    assert (decisions.burned_in_annotation, decisions.recognizable_visual_features) == ("", "")
