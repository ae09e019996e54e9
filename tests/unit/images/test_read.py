import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segpipe.errors import ImageError
from segpipe.images.read import read_radiograph
from tests.properties.mutants import valid_files
from tests.unit.images.pictures import asymmetric, dicom_file, encoded


def test_the_content_decides_and_not_the_suffix(tmp_path: Path) -> None:
    picture = asymmetric().astype(np.uint8)
    for data, format_ in ((encoded(picture, "PNG"), "PNG"), (dicom_file(picture, 8), "DICOM")):
        path = tmp_path / "picture.jpg"
        path.write_bytes(data)
        radiograph = read_radiograph(path)
        assert radiograph.decisions.format == format_
        np.testing.assert_array_equal(radiograph.pixels, read_radiograph(data).pixels)


def test_what_is_no_readable_file_is_named_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "sparse.dcm").open("wb") as file:
        file.truncate(2**31)
    reasons = {"empty.png": "0 bytes", "pipe": "a pipe", "": "a folder", "absent": "not found", "dangling": "not found"}
    reasons |= {"sparse.dcm": "bytes, more than", "a\0b": "cannot be opened"}
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read_radiograph(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04....", "ZIP"),
        (b"<html></html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"hello", "no known picture format; segpipe reads DICOM, PNG"),
        (b"\x1f\x8b\x08\0broken", "gzip"),
        (b"\x89PNG\n\x1a\n", "damaged signature"),
        (b"", "0 bytes"),
    ],
)
def test_foreign_content_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_radiograph(data)


def test_an_exception_inside_a_decoder_becomes_a_reason_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*args: object) -> None:
        raise KeyError("secret text")

    monkeypatch.setattr("segpipe.images.raster.read.read_raster", explode)
    with pytest.raises(ImageError, match=r"cannot be decoded \(KeyError\)") as caught:
        read_radiograph(encoded(asymmetric().astype(np.uint8), "PNG"))
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


READ_ALL = """
import sys
from segpipe.images.read import read_radiograph
for path in sys.argv[1:]:
    read_radiograph(open(path, "rb").read())
print(sorted({"torch", "monai", "pandas"} & set(sys.modules)))
"""


def test_no_reader_imports_torch_or_monai(tmp_path: Path) -> None:
    files = valid_files()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    code = [sys.executable, "-c", READ_ALL, *(str(tmp_path / name) for name in files)]
    assert subprocess.run(code, capture_output=True, text=True, check=True).stdout == "[]\n"
