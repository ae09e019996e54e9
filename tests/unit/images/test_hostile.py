"""Files made to crash, hang or exhaust a reader: each is refused with a reason, or read without harm."""

import functools
import tracemalloc

import pytest

from segpipe.config.load import load_config
from segpipe.errors import ConfigError, ImageError, InputError
from segpipe.images.read import read_radiograph
from segpipe.masks.reference import read_reference
from segpipe.models.card import read_card
from segpipe.pool.isolated import isolated_map
from segpipe.pool.worker import ItemFailure, Limits
from tests.unit.images.hostile_files import HOSTILE, READABLE, deflate_bomb, empty_items, with_elements
from tests.unit.images.pictures import SECRET

MASKS = [name for name in HOSTILE if not name.startswith("dicom")]


def outcome(data: bytes) -> str:
    """The reason why there is no picture, or its size and type."""
    try:
        picture = read_radiograph(data)
    except ImageError as error:
        return f"refused: {error}"
    return f"read: {picture.pixels.shape} {picture.pixels.dtype}"


def reader():
    return outcome


@functools.cache
def made(name: str) -> bytes:
    return HOSTILE[name]()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str | ItemFailure]:
    """What became of every file, each read by a worker with the limits of a run."""
    with isolated_map(reader, (), map(made, HOSTILE), Limits(cpu_seconds=120)) as results:
        return dict(zip(HOSTILE, results, strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_ends_as_one_reason_or_as_the_picture_that_it_holds(outcomes, name):
    found = outcomes[name]
    assert not isinstance(found, ItemFailure), found
    assert found.startswith("read: (37, 53)" if name in READABLE else "refused: "), found
    assert "\n" not in found
    assert SECRET not in found
    assert "Traceback" not in found


@pytest.mark.parametrize("name", MASKS)
def test_a_hostile_mask_is_refused_or_is_the_mask_that_it_holds(tmp_path, name):
    path = tmp_path / "mask"
    path.write_bytes(made(name))
    if name in READABLE and name.startswith("gzip"):
        assert read_reference({"": path}, {"lung": [1]}, (37, 53), root=tmp_path).bits.shape == (37, 53)
        return
    with pytest.raises(ImageError, match=r"^mask mask [^\n]*$"):
        read_reference({"": path}, {"lung": [1]}, (37, 53), root=tmp_path)


def test_a_deflated_file_is_not_inflated_beyond_what_a_picture_needs():
    bomb = deflate_bomb(37, 53, 100_000_000)
    tracemalloc.start()
    with pytest.raises(ImageError, match="holds far more than a picture"):
        read_radiograph(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150_000_000


def test_sequences_of_a_million_items_are_not_built():
    with pytest.raises(ImageError, match="VOILUTSequence of more than 1000 items"):
        read_radiograph(with_elements(empty_items((0x0028, 0x3010), 1_000_000)))
    many = b"\x09\0\x01\x10LO\0\0" * 400_000
    with pytest.raises(ImageError, match="some hundred thousand elements"):
        read_radiograph(with_elements(many))


def test_a_header_with_some_thousand_elements_is_read():
    assert read_radiograph(with_elements(b"\x09\0\x01\x10LO\0\0" * 20_000)).pixels.shape == (37, 53)


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "data: !!python/object/new:os.system [touch pwned]",
        "data: {images: !!python/name:os.system }",
    ],
)
def test_a_config_cannot_run_code(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(tmp_path / "c.yaml")
    assert not (tmp_path / "pwned").exists()


def test_a_config_of_nested_aliases_is_refused(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (tmp_path / "c.yaml").write_text("\n".join([*lines, "classes: *a29", "data: {images: x}"]))
    with pytest.raises(ConfigError, match="262 YAML aliases"):
        load_config(tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("classes: &a {lung: *a}\ndata: {images: x}\n")
    with pytest.raises(ConfigError, match=r"classes: lung|classes\.lung"):
        load_config(tmp_path / "c.yaml")


def test_a_model_is_taken_from_safetensors_whatever_lies_beside_it(tmp_path):
    """A pickle of the same name, or no model at all: nothing of it is loaded."""
    for name in ("model.pt", "model.pkl", "model.bin", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(made("pickle"))
    with pytest.raises(InputError, match=r"model\.json is not a segpipe model"):
        read_card(tmp_path)
