"""The preprocess stage: what becomes of a file that a reader does not survive, and of links that lead away."""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from segpipe.config.load import parse_config
from segpipe.config.stages import stage_configs
from segpipe.demo.render import phantom_arrays
from segpipe.errors import ConfigError
from segpipe.images.types import Decisions, Radiograph
from segpipe.log import logger
from segpipe.preprocess.read import image_reader, read_sample
from segpipe.preprocess.stage import preprocess_shard
from segpipe.preprocess.store import FILES, Reading
from segpipe.samples.sample import Sample
from segpipe.samples.scan import scan
from tests.unit.images.pictures import SECRET, asymmetric, dicom_file, encoded

SIZE = 64
SEGPIPE = str(Path(sys.executable).with_name("segpipe"))


def config(root, **data):
    values = {"root": str(root), "images": "{file}", **data}
    sections = {"preprocess": {"size": SIZE}, "results": str(root.parent / "results"), "model": {"weights": "w"}}
    return parse_config({"classes": {"lung": None}, "data": values, **sections})


def preprocess(root, threads=1, **data):
    """The store's table by file name, and the stored images."""
    settings = config(root, **data)
    found = scan(settings)
    (shard,) = found.shards
    output = root.parent / "store"
    output.mkdir(exist_ok=True)
    stage = stage_configs(settings, [])["preprocess"]
    preprocess_shard(stage, settings.folder / found.table(shard), output, threads=threads)
    table = pd.read_parquet(output / "table.parquet")
    return table.set_index("image"), np.load(output / "images.npy")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "b.png").write_bytes(encoded(asymmetric().astype(np.uint8), "PNG"))
    return folder


def crashing_reader(stage):
    """An image reader as it would be if a decoder had a fault for files of a certain name."""
    read = image_reader(stage)

    def read_or_crash(sample):
        if "crash" in sample.image:
            ctypes.string_at(0)
        if "hang" in sample.image:
            while True:
                pass
        return read(sample)

    return read_or_crash


def test_a_file_that_crashes_or_hangs_its_decoder_costs_its_row(root, monkeypatch):
    for name in ("a crash.png", "c hang.png", "d.png"):
        (root / name).write_bytes((root / "b.png").read_bytes())
    monkeypatch.setattr("segpipe.preprocess.read.image_reader", crashing_reader)
    table, images = preprocess(root, seconds_per_image=1)
    assert list(table["status"]) == ["quarantined", "unlabelled", "quarantined", "unlabelled"]
    assert table["reason"]["a crash.png"].startswith("crashed its decoder (signal 11)")
    assert table["reason"]["c hang.png"].startswith("took more than 1 s of CPU time to read")
    assert not images[0].any()
    np.testing.assert_array_equal(images[1], images[3])
    assert images[1].any()


def test_a_worker_reads_what_this_process_reads(root):
    table, images = preprocess(root)
    stage = stage_configs(config(root), [])["preprocess"]
    reading = image_reader(stage)(Sample("b", "b.png"))
    assert isinstance(reading, Reading)
    np.testing.assert_array_equal(images[0], reading.image)
    assert table["picture"]["b.png"] == reading.row["picture"]


def test_any_number_of_reading_processes_writes_the_same_bytes(root):
    for number in range(9):
        (root / f"{number}.png").write_bytes(encoded(asymmetric(rows=50 + 9 * number).astype(np.uint8), "PNG"))
    (root / "5.png").write_bytes(b"nothing")
    stores = []
    for threads in (1, 2, 3):
        preprocess(root, threads)
        stores.append([(root.parent / "store" / name).read_bytes() for name in FILES])
    assert stores[0] == stores[1] == stores[2]


LOADED = """
import sys
from pathlib import Path
from segpipe.config.stages import PreprocessStage, load_stage
from segpipe.preprocess.read import image_reader
from segpipe.preprocess.stage import preprocess_shard
from segpipe.samples.shards import read_table
config, table, output = map(Path, sys.argv[1:])
stage = load_stage(config, PreprocessStage)
assert all(image_reader(stage)(sample).image is not None for sample in read_table(table))
tables = {"pandas", "pyarrow"} & set(sys.modules)
preprocess_shard(stage, table, output)
print(*sorted(tables | {"torch", "monai"} & set(sys.modules)))
"""


def test_reading_needs_neither_torch_nor_monai_nor_tables(root, tmp_path):
    (root / "c.dcm").write_bytes(dicom_file(asymmetric(), 8))
    settings = config(root)
    found = scan(settings)
    files = settings.folder / found.stage("preprocess"), settings.folder / found.table("0000"), tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, files)], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.split() == []


def test_a_wrong_transform_in_the_config_is_the_configs_error(root, tmp_path):
    settings = config(root)
    transforms = [{"name": "RandFlipd", "keys": "image"}]
    values = settings.model_dump(mode="json") | {"preprocess": {"size": SIZE, "transforms": transforms}}
    stage = stage_configs(parse_config(values), [])["preprocess"]
    found = scan(settings)
    with pytest.raises(ConfigError, match="random"):
        preprocess_shard(stage, settings.folder / found.table("0000"), tmp_path)


def test_links_out_of_the_root_are_quarantined_and_those_inside_are_read(root, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes((root / "b.png").read_bytes())
    (root / "away.png").symlink_to(outside / "secret.png")
    (root / "relative.png").symlink_to("../outside/secret.png")
    (root / "within.png").symlink_to("b.png")
    (root / "twice.png").symlink_to("away.png")
    table, _ = preprocess(root)
    bad = table[table["status"] == "quarantined"]
    assert set(bad.index) == {"away.png", "relative.png", "twice.png"}
    for reason in bad["reason"]:
        assert reason.startswith("is a symbolic link, or lies behind one, that leads out of the data folder")
        assert "data.links" in reason
        assert "outside" not in reason
    table, _ = preprocess(root, links="follow")
    assert set(table["status"]) == {"unlabelled"}


def test_the_root_may_be_a_link_itself(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    table, _ = preprocess(tmp_path / "link")
    assert list(table["status"]) == ["unlabelled"]


def test_a_folder_behind_a_link_that_leads_out_is_passed_over_with_a_warning(root, tmp_path, monkeypatch, caplog):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "c.png").write_bytes((root / "b.png").read_bytes())
    (root / "folder").symlink_to(outside)
    monkeypatch.setattr(logger, "propagate", True)
    with caplog.at_level(logging.WARNING, logger="segpipe"):
        table, _ = preprocess(root, images=["{file}", "folder/{other}"][:1])
    assert list(table.index) == ["b.png"]
    assert "folder is a link out of data.root and is passed over" in caplog.text
    table, _ = preprocess(root, images="folder/{file}", links="follow")
    assert list(table.index) == ["folder/c.png"]


def test_a_mask_behind_a_link_that_leads_out_is_named(root, tmp_path):
    (tmp_path / "mask.png").write_bytes(encoded((asymmetric() > 99).astype(np.uint8) * 255, "PNG"))
    (root / "masks").mkdir()
    (root / "masks" / "b.png").symlink_to(tmp_path / "mask.png")
    stage = stage_configs(config(root), [])["preprocess"]
    _, row = read_sample(Sample("b", "b.png", {"lung": "masks/b.png"}), stage, None, b"")
    assert row["reason"].startswith("mask masks/b.png is a symbolic link")


def test_what_is_no_regular_file_is_a_row(root):
    os.mkfifo(root / "pipe.png")
    (root / "dangling.png").symlink_to("nothing.png")
    (root / "loop.png").symlink_to("loop.png")
    (root / "device.png").symlink_to("/dev/zero")
    bound = socket.socket(socket.AF_UNIX)
    folder = os.open(root, os.O_RDONLY)
    bound.bind(f"/proc/self/fd/{folder}/socket.png")  # the path to the folder may be too long for a socket's name
    table, _ = preprocess(root)
    bound.close()
    os.close(folder)
    reasons = table["reason"]
    assert reasons["pipe.png"].startswith("is a pipe, socket or device")
    assert reasons["socket.png"].startswith("is a pipe, socket or device")
    assert reasons["dangling.png"].startswith("file not found")
    assert reasons["loop.png"].startswith("cannot be opened")
    assert "leads out of the data folder" in reasons["device.png"]
    assert reasons["b.png"] == ""


NAMES = [
    "new\nline.png", "quote\"'`.png", "$(touch pwned).png", "semi;colon & more|.png", "-rf.png", "--output.png",
    "tab\t.png", "percent%s%n.png", "{brace}.png", "esc\x1b[31m.png", "ärztin-Ω-写真.png", "=cmd|'!A1.png",
    "l" * 240 + ".png", "back\\slash.png", " space .png", "*.png",
]  # fmt: skip


def test_any_file_name_is_a_row_and_nothing_is_run_or_forged(root, monkeypatch):
    lines = []

    class Collector(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    monkeypatch.setattr(logger, "handlers", [Collector()])
    for name in NAMES:
        (root / name).write_bytes((root / "b.png").read_bytes())
    (root / "bad\nsegpipe: forged.png").write_bytes(b"nothing")
    table, _ = preprocess(root)
    assert set(table.index) == {*NAMES, "b.png", "bad\nsegpipe: forged.png"}
    assert (table["status"] == "unlabelled").sum() == len(NAMES) + 1
    assert table["image_id"].is_unique
    assert not any("\n" in line or "\x1b" in line for line in lines)
    assert any("quarantined 'bad\\nsegpipe: forged.png'" in line for line in lines)
    assert not list(root.parent.rglob("pwned*"))


def test_a_header_reaches_neither_reason_nor_log_when_the_code_has_a_fault(root, monkeypatch):
    (root / "c.dcm").write_bytes(dicom_file(asymmetric(), 8))
    lines = []

    class Collector(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    def faulty(data):
        raise KeyError(f"{SECRET} of {data}")

    monkeypatch.setattr(logger, "handlers", [Collector()])
    stage = stage_configs(config(root), [])["preprocess"]
    data, row = read_sample(Sample("c", "c.dcm"), stage, faulty, b"")
    assert data is None
    assert row["reason"].startswith("unforeseen KeyError while reading")
    assert SECRET not in row["reason"] + "".join(lines)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
@pytest.mark.parametrize("whole_group", [True, False])
def test_being_stopped_ends_readers_too_and_leaves_nothing(root, number, code, whole_group):
    """A terminal sends Ctrl-C, and some schedulers send SIGTERM, to all processes of a job."""
    for name in range(600):
        os.link(root / "b.png", root / f"{name}.png")
    settings = config(root)
    found, output = scan(settings), root.parent / "store"
    files = ["--config", settings.folder / found.stage("preprocess"), "--table", settings.folder / found.table("0000")]
    command = [SEGPIPE, "preprocess", *map(str, files), "--output", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (written := list(output.glob(".images*"))) or not written[0].stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, number) if whole_group else process.send_signal(number)
    _, error = process.communicate(timeout=60)  # standard error is open as long as any process of the job lives
    assert process.returncode == code
    room, last = error.splitlines()  # what it needs on the disk, said before it starts
    assert "are free" in room, error
    assert "the same command goes on" in last, error
    assert list(output.iterdir()) == []


def test_facts_that_cannot_be_told_cost_the_row_too(root):
    picture = Radiograph(phantom_arrays(0, (64, 64))[0], (0, 1), None, Decisions("PNG", 8))
    stage = stage_configs(config(root), [])["preprocess"]
    data, row = read_sample(Sample("b", "b.png"), stage, lambda _: {"radiograph": picture}, b"")
    assert data is None
    assert row["status"] == "quarantined"
