import numpy as np
import onnx
import pytest
import torch
from torch import nn

from segpipe.errors import InputError
from segpipe.interop.graph import (
    IMAGE,
    LOGITS,
    ImagesToLogits,
    export_graph,
    parity,
    run_onnx,
    run_program,
    save_onnx,
    save_program,
)
from segpipe.models.card import read_card
from segpipe.models.networks.registry import NETWORKS
from segpipe.models.weights import load_model
from tests.unit.model_files import SIZE, write_model


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_computes_the_same_as_onnx_and_as_a_program(name, tmp_path):
    folder = write_model(tmp_path / "model", network=name)
    network = load_model(folder)
    graph = export_graph(network, read_card(folder))
    save_program(graph, tmp_path / "model.pt2", "{}")
    agreement = parity(network, run_program(tmp_path / "model.pt2"), SIZE, name)
    assert agreement.difference <= 1e-6
    assert agreement.differing == 0
    save_onnx(graph, tmp_path / "model.onnx", {"key": "value"})
    agreement = parity(network, run_onnx(tmp_path / "model.onnx"), SIZE, name)
    assert agreement.difference < 1e-4
    assert agreement.differing == 0


def test_any_number_of_images_fits_and_the_file_tells_nothing_of_this_machine(tmp_path):
    folder = write_model(tmp_path / "model")
    graph = export_graph(load_model(folder), read_card(folder))
    save_program(graph, tmp_path / "model.pt2", '{"a": 1}')
    save_onnx(graph, tmp_path / "model.onnx", {"segpipe.contract": "text"})
    model = onnx.load(tmp_path / "model.onnx")
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == [IMAGE, LOGITS]
    for value, channels in ((model.graph.input[0], 1), (model.graph.output[0], 2)):
        batch, *rest = value.type.tensor_type.shape.dim
        assert batch.dim_param == "batch"
        assert [dim.dim_value for dim in rest] == [channels, SIZE, SIZE]
    assert {prop.key: prop.value for prop in model.metadata_props} == {"segpipe.contract": "text"}
    onnx.checker.check_model(model, full_check=True)
    assert run_onnx(tmp_path / "model.onnx")(np.zeros((5, 1, SIZE, SIZE), np.float32)).shape == (5, 2, SIZE, SIZE)
    extra = {"contract.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert extra == {"contract.json": '{"a": 1}'}
    for name in ("model.onnx", "model.pt2"):
        content = (tmp_path / name).read_bytes()
        assert b"segpipe/" not in content
        assert b"site-packages" not in content


def test_an_export_that_computes_something_else_is_refused(tmp_path):
    network = load_model(write_model(tmp_path / "model"))
    right = ImagesToLogits(network).eval()

    def wrong(images):
        with torch.no_grad():
            return right(torch.from_numpy(images)).numpy() * 1.01

    with pytest.raises(InputError, match="more than rounding"):
        parity(network, wrong, SIZE, "model.onnx")
    with pytest.raises(InputError, match="more than rounding"):
        parity(network, lambda images: np.full((len(images), 2, SIZE, SIZE), np.nan), SIZE, "model.onnx")


def test_a_network_that_torch_cannot_trace_is_refused_with_the_reason(tmp_path):
    class Moody(nn.Module):
        def forward(self, x):
            return x if x.mean() > 0 else -x

    with pytest.raises(InputError, match=r"unet cannot be exported as a graph.*--format bundle"):
        export_graph(Moody(), read_card(write_model(tmp_path / "model")))
