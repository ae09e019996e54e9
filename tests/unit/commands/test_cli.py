import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segpipe import __version__
from segpipe.samples.scan import scan
from tests.conftest import PROJECT
from tests.unit.samples.configs import write_config

SEGPIPE = str(Path(sys.executable).with_name("segpipe"))


def segpipe(*arguments, **options):
    return subprocess.run([SEGPIPE, *arguments], capture_output=True, text=True, timeout=120, **options)


def test_errors_are_one_message_with_the_documented_code(tmp_path):
    (tmp_path / "bad.yaml").write_text("data: {images: x.png}\nnames: 1\n")
    done = segpipe("scan", str(tmp_path / "bad.yaml"))
    assert done.returncode == 3
    assert "names: there is no such key (did you mean name?)" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "none.yaml").write_text("data: {images: x.png, masks: {a: m.png}, root: nowhere}\n")
    assert segpipe("scan", str(tmp_path / "none.yaml")).returncode == 4
    assert segpipe("train").returncode == 2


def test_an_archive_that_is_away_is_an_input_error_and_no_broken_image(tmp_path):
    config = write_config(tmp_path)
    found = scan(config)
    (tmp_path / "data").rename(tmp_path / "away")
    stage = {name: f"--config={config.folder / found.stage(name)}" for name in ("preprocess", "score")}
    table, output = f"--table={config.folder / found.table('0000')}", f"--output={tmp_path / 'written'}"
    for done in (
        segpipe("preprocess", stage["preprocess"], table, output),
        segpipe("score", stage["score"], table, "--shard=x", "--predictions=x", "--masks=x", output),
    ):
        assert done.returncode == 4
        assert "Is its disk mounted? No image was looked at." in done.stderr
    assert not (tmp_path / "written").exists()


def test_the_version_is_printed_without_a_verb():
    done = segpipe("--version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")


def test_explain_tells_the_story_of_a_file_and_draws_it(tmp_path):
    segpipe("phantom", str(tmp_path / "data"), "--count", "6")
    image = sorted((tmp_path / "data/images").glob("*.dcm"))[0]
    done = segpipe("explain", str(image), "--picture", str(tmp_path / "picture.png"))
    assert done.returncode == 0, done.stderr
    for word in ("read: DICOM", "modality LUT:", "VOI:", "polarity:", "spacing:", "fit: letterbox", "intensity:"):
        assert word in done.stdout
    assert (tmp_path / "picture.png").stat().st_size > 10_000
    missing = segpipe("explain", str(tmp_path / "missing.png"))
    assert missing.returncode == 4
    assert "does not exist" in missing.stderr


def test_explain_finds_an_image_of_a_run_by_its_id(tmp_path):
    segpipe("phantom", str(tmp_path / "data"), "--count", "6")
    (tmp_path / "c.yaml").write_text(
        f"data: {{root: {tmp_path / 'data'}, images: 'images/{{patient}}_{{view}}.png',"
        " masks: {lung: 'masks/lung/{patient}_{view}.png'}}\n"
    )
    image_id = sorted((tmp_path / "data/images").glob("*.png"))[0].stem
    done = segpipe("explain", image_id, "--config", str(tmp_path / "c.yaml"), "--picture", str(tmp_path / "p.png"))
    assert done.returncode == 0, done.stderr
    assert "mask: lung covers" in done.stdout or "quarantined" in done.stdout
    assert segpipe("explain", "nobody", "--config", str(tmp_path / "c.yaml")).returncode == 4


def test_doctor_lists_versions_engines_networks_and_transfer_syntaxes():
    done = segpipe("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("torch", "unet_strided", "JPEG-LS Lossless", "RLE Lossless", "CPU", "\n  auto is "):
        assert word in done.stdout


def test_stopping_is_not_taken_for_a_damaged_image(monkeypatch, tmp_path):
    """Readers turn every Exception into a quarantined row; being stopped must not be one."""
    from segpipe.errors import ExitCode, InterruptedRun
    from segpipe.images.raster import read as raster
    from segpipe.images.read import read_radiograph

    def stop(*_):
        raise InterruptedRun("stopped", ExitCode.INTERRUPTED)

    monkeypatch.setattr(raster, "read_raster", stop)
    with pytest.raises(InterruptedRun):
        read_radiograph(b"BM" + bytes(100))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_being_stopped_says_what_is_kept_and_leaves_no_temporary_file(tmp_path, number, code):
    process = subprocess.Popen(
        [SEGPIPE, "phantom", str(tmp_path), "--count", "400"], stderr=subprocess.PIPE, text=True, cwd=PROJECT
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("images/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert "the same command goes on" in error
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
