from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segpipe.errors import ImageError
from segpipe.files.source import file_stamp
from segpipe.samples.sample import image_id_from_path, inside, patient_key, safe_name


@pytest.mark.parametrize(
    ("path", "image_id"),
    [
        ("MCUCXR_0001_0.png", "MCUCXR_0001_0"),
        ("a/b.nii.gz", "a__b"),
        ("1.2.840.113", "1.2.840.113"),
        ("x y.DCM", "x%20y"),
        ("../up.png", "%2E.__up"),
        ("a\nb.png", "a%0Ab"),
        ("$(rm).png", "%24%28rm%29"),
    ],
)
def test_ids_are_the_path_made_safe(path, image_id):
    assert image_id_from_path(path) == image_id


@given(st.text(min_size=1, max_size=400))
def test_any_text_becomes_a_safe_file_name(text):
    name = safe_name(text)
    assert name.isascii()
    assert len(name) <= 150
    assert not set(name) & set("/\\\0\n\t '\"$;&|<>*?`")
    assert not name.startswith(".")


def test_a_patient_key_depends_on_the_salt_and_hides_the_patient():
    assert patient_key("Doe", b"a") == patient_key("Doe", b"a") != patient_key("Doe", b"b")
    assert "Doe" not in patient_key("Doe", b"a")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.png", "a/../../x.png"])
def test_paths_that_leave_the_root_are_refused(path):
    with pytest.raises(ImageError, match="leaves the data folder"):
        inside(Path("root"), path)
    assert inside(Path("root"), "a/x.png") == Path("root/a/x.png")


def test_a_stamp_changes_with_the_file(tmp_path):
    path = tmp_path / "x"
    assert file_stamp(path) == "missing"
    path.write_bytes(b"1")
    first = file_stamp(path)
    path.write_bytes(b"12")
    assert file_stamp(path) != first
