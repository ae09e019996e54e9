import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from segpipe.config import Dicom, Predict, Preprocess
from segpipe.config import stages as installed
from segpipe.config.load import parse_config
from segpipe.config.stages import NEEDED, not_installed
from segpipe.errors import ConfigError
from segpipe.models.networks.registry import NETWORKS, build_network
from segpipe.predict.engines import ENGINES, check_parity, choose_engine, parity
from segpipe.predict.ensemble import Ensemble, mean_probability
from segpipe.predict.pipeline import Cores
from segpipe.predict.torch_engine import Eager
from tests.unit.model_files import SMALL, write_model

# What torch.compile itself imports uses what torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
SIZE = 64
CPU = torch.device("cpu")


@pytest.fixture(params=list(ENGINES))
def name(request):
    if missing := not_installed(request.param):
        pytest.skip(f"the engine {request.param} needs {', '.join(missing)}, not installed here")
    return request.param


def setting(threads=1, precision=torch.float32):
    return SIZE, CPU, precision, Cores(threads)


def choose(predict, device=CPU, **values):
    return choose_engine(predict, SIZE, device, Cores(1), **values)


def network(kind="unet"):
    torch.manual_seed(1)
    return build_network(kind, 2, SMALL[kind]).eval()


def pictures(count):
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE), np.uint8)


def ensemble(folder, threads=1, **values):
    predict = Predict(**{"batch_size": 4, "device": "cpu", **values})
    return Ensemble({"one": folder}, {"lung": None, "heart": None}, Preprocess(size=SIZE), Dicom(), predict, threads)


def test_a_picture_depends_neither_on_its_batch_nor_on_its_neighbours(name):
    engine = ENGINES[name](*setting(threads=2))
    run, images = engine.prepare(network()), pictures(5)

    def found(rows):
        return mean_probability(images[rows], [run], CPU, fewest=engine.fewest(4))

    whole = found([0, 1, 2, 3])
    for rows in ([3, 1], [2], [0], [4, 2, 3], [0, 4, 4, 1]):
        for row, probability in zip(rows, found(rows), strict=True):
            if row < 4:
                assert np.array_equal(probability, whole[row]), (rows, row)


def test_threads_change_nothing(name):
    inputs = torch.from_numpy(pictures(5).astype(np.float32)[:, np.newaxis] / 255)
    one, three = (ENGINES[name](*setting(threads)).prepare(network("subpixel_unet"))(inputs) for threads in (1, 3))
    assert torch.equal(one, three)


@pytest.mark.parametrize("kind", list(NETWORKS))
@pytest.mark.parametrize("name", list(NEEDED))
def test_every_network_gives_the_probabilities_of_pytorch(name, kind):
    if not_installed(name):
        pytest.skip(f"the engine {name} is not installed here")
    inputs = torch.from_numpy(pictures(2).astype(np.float32)[:, np.newaxis] / 255)
    run, reference = ENGINES[name](*setting()).prepare(network(kind)), Eager(*setting()).prepare(network(kind))
    assert parity(inputs, run, reference) < 1e-5


def test_a_smaller_batch_is_not_compiled_again():
    made = []

    def backend(graph, inputs):
        made.append(inputs)
        return graph

    real = torch.compile
    try:
        torch.compile = lambda module, dynamic: real(module, dynamic=dynamic, backend=backend)
        run = ENGINES["compile"](*setting()).prepare(network())
    finally:
        torch.compile = real
    for count in (4, 4, 3, 1):
        assert run(torch.rand(count, 1, SIZE, SIZE)).shape == (count, 2, SIZE, SIZE)
    assert len(made) == 1


def test_auto_is_by_what_is_installed_and_by_what_is_asked_of_it(monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda package: True)
    assert choose(Predict()).name == "openvino"
    assert choose(Predict(inferer="sliding_window")).name == "torch"
    assert choose(Predict(precision="float16")).name == "torch"
    assert choose(Predict(precision="float32"), torch.device("cuda")).name == "torch"
    monkeypatch.setattr(installed, "find_spec", lambda package: None)
    assert choose(Predict()).name == "torch"


def test_auto_is_in_all_shards_what_the_scan_decided(monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda package: True)
    assert choose(Predict(), decided="torch").name == "torch"
    assert choose(Predict(inferer="sliding_window"), decided="openvino").name == "torch"
    monkeypatch.setattr(installed, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"auto is openvino in this run.* here openvino is missing.*engine: torch"):
        choose(Predict(), decided="openvino")
    assert choose(Predict(), torch.device("cuda"), decided="openvino").name == "torch"
    windows = Predict(inferer="sliding_window")
    assert choose(windows, decided="openvino").name == "torch", "in all shards, whatever is installed"


def test_an_engine_that_does_not_exist_is_a_config_error_that_names_the_others():
    data = {"images": "i/{patient}.png", "masks": {"lung": "m/{patient}.png"}}
    with pytest.raises(ConfigError, match=r"predict\.engine: found 'onnxruntime'.*'torch', 'compile' or 'openvino'"):
        parse_config({"data": data, "predict": {"engine": "onnxruntime"}})


@pytest.mark.parametrize("name", list(NEEDED))
def test_an_engine_that_is_not_installed_names_its_extra(name, monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=rf"predict.engine: {name}, but .* missing: pip install 'segpipe\[{name}\]'"):
        choose(Predict(engine=name))


@pytest.mark.parametrize(
    ("values", "device", "message"),
    [
        ({"engine": "compile", "inferer": "sliding_window"}, "cpu", "whole pictures only"),
        ({"engine": "openvino", "inferer": "sliding_window"}, "cpu", "whole pictures only"),
        ({"engine": "openvino", "precision": "float32"}, "cuda", "Set predict.device: cpu"),
        ({"engine": "openvino", "precision": "float16"}, "cpu", "does not compute in float16"),
    ],
)
def test_what_an_engine_cannot_do_is_said_with_a_way_out(values, device, message, monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda package: True)
    with pytest.raises(ConfigError, match=message):
        choose(Predict(**values), torch.device(device))


def test_the_first_batch_is_compared_with_pytorch_and_the_difference_kept(name, tmp_path, caplog):
    caplog.set_level("INFO")
    found = ensemble(write_model(tmp_path / "m"), engine=name)
    assert found.engine.startswith(f"{name} ")
    assert found.engine.endswith(" float32")
    found.load()
    assert found.parity == {}
    one = found.probabilities(pictures(3), ["one"])
    again = found.probabilities(pictures(3), ["one"])
    assert np.array_equal(one, again)
    if name == "torch":
        assert found.parity == {}, "there is nothing to compare it with"
    else:
        assert 0 <= found.parity["one"] < 1e-5
        assert caplog.text.count("differs from PyTorch by at most") == 1
    np.testing.assert_allclose(
        one, ensemble(tmp_path / "m", engine="torch").probabilities(pictures(3), ["one"]), atol=1e-5
    )


@pytest.mark.parametrize("wanted", ["auto", "openvino"])
def test_an_engine_that_computes_something_else_is_refused_even_if_auto_chose_it(wanted, tmp_path, monkeypatch):
    class Wrong(Eager):
        name = "openvino"

        @property
        def exact(self):
            return False

        def prepare(self, network):
            class More(nn.Module):
                def forward(self, x):
                    return network(x) + 1

            return super().prepare(More())

    monkeypatch.setitem(ENGINES, "openvino", Wrong)
    monkeypatch.setattr(installed, "find_spec", lambda package: True)
    found = ensemble(write_model(tmp_path / "m"), engine=wanted)
    with pytest.raises(
        ConfigError, match=r"first batch of model one they differ by up to 0\.\d+.*predict.engine: torch"
    ):
        found.probabilities(pictures(2), ["one"])


def test_nan_is_no_parity():
    with pytest.raises(ConfigError, match="differ by up to nan"):
        check_parity(float("nan"), Eager(*setting()), "one")


def test_bfloat16_is_another_cache_key_and_within_its_own_bound(tmp_path):
    folder = write_model(tmp_path / "m")
    half = ensemble(folder, engine="torch", precision="bfloat16")
    half.probabilities(pictures(2), ["one"])
    assert 1e-5 < half.parity["one"] < 0.1
    assert half.cache_key_parts(["one"]) != ensemble(folder, engine="torch").cache_key_parts(["one"])


def test_the_cache_key_names_the_engine_and_no_number_of_threads(name, tmp_path):
    folder = write_model(tmp_path / "m")
    one, two = (ensemble(folder, engine=name, threads=threads) for threads in (1, 2))
    assert one.engine in one.cache_key_parts(["one"])
    assert one.cache_key_parts(["one"]) == two.cache_key_parts(["one"])
    assert one.cache_key_parts(["one"]) == ensemble(folder, engine=name, batch_size=2).cache_key_parts(["one"])


def test_auto_is_four_pictures_at_a_time_on_a_cpu(tmp_path):
    folder = write_model(tmp_path / "m")
    assert ensemble(folder, batch_size="auto").batch_size == 4
    assert ensemble(folder, batch_size=7).batch_size == 7


def test_windows_are_those_of_pytorch_whatever_their_number(tmp_path):
    found = ensemble(write_model(tmp_path / "m"), inferer="sliding_window")
    images = pictures(3)
    whole = found.probabilities(images, ["one"])
    assert np.array_equal(found.probabilities(images[1:2], ["one"])[0], whole[1])
    assert found.engine.startswith("torch")


class Odd(nn.Module):
    def forward(self, x):
        raise ValueError("no")


def test_a_network_that_an_engine_does_not_know_is_named_with_a_way_out():
    for name in NEEDED:
        if not not_installed(name):
            with pytest.raises(ConfigError, match=r"predict\.engine: torch"):
                ENGINES[name](*setting()).prepare(Odd())


def test_openvino_leaves_the_log_of_the_process_alone():
    if not_installed("openvino"):
        pytest.skip("openvino is not installed here")
    root = logging.getLogger()
    before = root.level, root.handlers[:], root.filters[:]
    with pytest.raises(ConfigError):
        ENGINES["openvino"](*setting()).prepare(Odd())
    assert (root.level, root.handlers, root.filters) == before


def test_openvino_never_loads_what_reports_to_its_maker(tmp_path):
    if not_installed("openvino"):
        pytest.skip("openvino is not installed here")
    code = """
import socket, sys, torch
def refuse(*_): raise SystemExit("a connection")
socket.socket.connect = socket.getaddrinfo = refuse
from segpipe.predict.openvino_engine import OpenVino
from segpipe.predict.pipeline import Cores
run = OpenVino(32, torch.device("cpu"), torch.float32, Cores(1)).prepare(torch.nn.Conv2d(1, 2, 3, padding=1))
assert run(torch.zeros(3, 1, 32, 32)).shape == (3, 2, 32, 32)
print(sorted(name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"HOME": str(tmp_path), "PATH": ""}
    )
    assert done.stdout.strip() == "[]", done.stderr
    files = {path.parent.name for path in tmp_path.rglob("*") if path.is_file()}
    assert files <= {"matplotlib"}, (
        "no file about the user either, only the list of fonts that MONAI's matplotlib makes"
    )
