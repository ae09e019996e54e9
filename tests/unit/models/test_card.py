from pathlib import Path

import pytest

from segpipe.config import Dicom, Preprocess
from segpipe.errors import ConfigError
from segpipe.models.card import ModelCard, check_contract

CLASSES = {"lung": None, "heart": None}


def card(dicom: Dicom) -> ModelCard:
    return ModelCard("unet", {}, CLASSES, Preprocess().model_dump(mode="json"), dicom.model_dump(mode="json"), {})


def test_a_model_is_refused_for_greys_made_in_another_way():
    with pytest.raises(ConfigError, match=r"dicom\.voi: 'auto' \(the config says 'percentile'\)"):
        check_contract(card(Dicom()), Path("m"), CLASSES, Preprocess(), Dicom(voi="percentile"))
    with pytest.raises(ConfigError, match=r"preprocess\.size: 512"):
        check_contract(card(Dicom()), Path("m"), CLASSES, Preprocess(size=256), Dicom())
    with pytest.raises(ConfigError, match="lung, heart in this order"):
        check_contract(card(Dicom()), Path("m"), dict(reversed(CLASSES.items())), Preprocess(), Dicom())


def test_a_model_takes_other_frames_and_resolutions():
    other = Dicom(frame="middle", j2k_resolution="auto")
    check_contract(card(Dicom(j2k_resolution="full")), Path("m"), CLASSES, Preprocess(), other)
