import subprocess

import pytest

from segpipe.pool import gpus as devices

ONE = """GPU 0: NVIDIA H200 (UUID: GPU-5d3e21a0-1111-2222-3333-444455556666)
GPU 1: NVIDIA H200 (UUID: GPU-6d3e21a0-1111-2222-3333-444455556666)
"""
DIVIDED = """GPU 0: NVIDIA H200 (UUID: GPU-5d3e21a0-1111-2222-3333-444455556666)
  MIG 1g.18gb     Device  0: (UUID: MIG-0a0a0a0a-1111-2222-3333-444455556666)
  MIG 1g.18gb     Device  1: (UUID: MIG-1a0a0a0a-1111-2222-3333-444455556666)
GPU 1: NVIDIA H200 (UUID: GPU-6d3e21a0-1111-2222-3333-444455556666)
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A folder in place of /proc/driver/nvidia/gpus and /dev, and no nvidia-smi."""
    monkeypatch.setattr(devices, "DRIVER_FOLDER", tmp_path / "gpus")
    monkeypatch.setattr(devices, "NODES", tmp_path / "dev")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "dev").mkdir()
    return tmp_path


def driver_tells(machine, minor, uuid):
    folder = machine / "gpus" / f"0000:0{minor}:00.0"
    folder.mkdir(parents=True)
    (folder / "information").write_text(f"Model: \t\t NVIDIA H200\nGPU UUID: \t {uuid}\nDevice Minor: \t {minor}\n")


def test_nvidia_smi_tells_uuids_and_those_of_a_divided_gpus_parts():
    assert devices.parse_nvidia_smi(ONE) == [
        "GPU-5d3e21a0-1111-2222-3333-444455556666",
        "GPU-6d3e21a0-1111-2222-3333-444455556666",
    ]
    assert [uuid[:5] for uuid in devices.parse_nvidia_smi(DIVIDED)] == ["MIG-0", "MIG-1", "GPU-6"]
    assert devices.parse_nvidia_smi("No devices found.\n") == []


def test_a_machine_without_any_has_none(machine):
    (machine / "dev/nvidiactl").touch()
    assert devices.list_gpus() == []


def test_without_nvidia_smi_the_driver_tells_of_devices_whose_node_is_here(machine):
    driver_tells(machine, 0, "GPU-aa")
    driver_tells(machine, 1, "GPU-bb")
    (machine / "dev/nvidia1").touch()
    assert devices.list_gpus() == ["GPU-bb"]


def test_a_driver_that_hides_uuids_leaves_numbers(machine):
    driver_tells(machine, 3, "GPU-????????-????")
    for name in ("nvidia3", "nvidia7", "nvidia-uvm", "nvidiactl"):
        (machine / "dev" / name).touch()
    assert devices.list_gpus() == ["0", "1"]


def test_an_nvidia_smi_that_fails_or_hangs_is_not_believed(machine, monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 1)

    (machine / "dev/nvidia0").touch()
    monkeypatch.setattr(devices.subprocess, "run", hang)
    assert devices.list_gpus() == ["0"]
