"""Export to ONNX: the file gives PyTorch's results in ONNX Runtime, and what cannot be exported is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from tests.helpers import small_model, small_reader
from vidamodal.data.crops import TrackCrops
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import LoadedModel, load_model
from vidamodal.onnx_export import TOLERANCE, NetworkPass, difference_from, example_inputs, export_onnx
from vidamodal.types import InputError

needs_onnx = pytest.mark.needs("onnx", "onnxruntime", "onnxscript")


@pytest.mark.slow
@needs_onnx
def test_the_bundled_network_gives_the_same_outputs_in_onnx_runtime(tmp_path: Path) -> None:
    import onnxruntime

    loaded = load_model("tiny")
    assert isinstance(loaded.model, AmodalModel)
    done = export_onnx(tmp_path / "tiny.onnx", loaded)
    assert done.difference <= TOLERANCE and done.outputs == ("logits", "presence")
    session = onnxruntime.InferenceSession(tmp_path / "tiny.onnx", providers=["CPUExecutionProvider"])
    inputs = example_inputs(loaded.model, 1, loaded.model.config.chunk, seed=7)
    assert {i.name: tuple(i.shape) for i in session.get_inputs()} == done.inputs
    logits, presence = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        expected = NetworkPass(loaded.model, tuple(inputs))(*inputs.values())
    assert difference_from(expected[0].numpy(), logits) <= TOLERANCE
    assert difference_from(expected[1].numpy(), presence) <= TOLERANCE
    assert session.get_modelmeta().custom_metadata_map["weights"] == loaded.weights_hash


@pytest.mark.slow
@needs_onnx
def test_a_model_that_reads_pixels_has_an_input_for_them(tmp_path: Path) -> None:
    done = export_onnx(tmp_path / "model.onnx", LoadedModel(small_reader(image=True), "reader", "", ""), frames=4)
    assert done.inputs["image"] == (1, 4, 3, 16, 16) and done.outputs == ("logits",)


def test_the_exported_pass_is_that_of_the_model(model: AmodalModel) -> None:
    inputs = example_inputs(model, 2, 5, seed=0)
    with torch.no_grad():
        (logits,) = NetworkPass(model, tuple(inputs))(*inputs.values())
        empty = {name: torch.zeros(2, 5, 0, 32, 32) for name in ("image", "depth")}
        crops = TrackCrops(**inputs, **empty, order=torch.zeros(2, 5, 32, 32))
        assert torch.allclose(logits, model(crops).refined / model.config.temperature, atol=TOLERANCE)


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Record:
        def SerializeToString(self) -> bytes:  # noqa: N802
            return b""

    class Onnx:
        class helper:  # noqa: N801
            set_model_props = staticmethod(lambda record, properties: None)

    monkeypatch.setattr("vidamodal.onnx_export._import_onnx", Onnx)
    monkeypatch.setattr("vidamodal.onnx_export._trace", lambda *_: Record())
    monkeypatch.setattr("vidamodal.onnx_export._difference", lambda *_: 2 * TOLERANCE)
    with pytest.raises(RuntimeError, match="differ from PyTorch's by"):
        export_onnx(tmp_path / "model.onnx", LoadedModel(small_model(), "small", "", ""))
    assert not any(tmp_path.iterdir())


def test_missing_packages_and_models_that_sample_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidamodal.onnx_export._import_onnx", lambda: None)
    with pytest.raises(InputError, match="conddiff' cannot be exported"):
        export_onnx(tmp_path / "model.onnx", "tiny", "conddiff")
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"Install the extra \[onnx\]"):
        export_onnx(tmp_path / "model.onnx")
