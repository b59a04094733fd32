"""Segmentation of frames layer by layer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.segmenters.cumulative.helpers import (
    SIZE,
    STACK,
    segmenter,
    square,
)
from vidamodal.models.folder import load_segmenter, save_segmenter
from vidamodal.segmenters.cumulative.denoiser import Denoiser
from vidamodal.segmenters.cumulative.layering import LayerStack
from vidamodal.types import InputError


def perfect_denoiser(monkeypatch: pytest.MonkeyPatch, layers: list[np.ndarray]) -> list[int]:
    """Make the network predict the first layer that is not in the cumulative mask; return the sizes of its batches."""
    sizes: list[int] = []

    def know(self: Denoiser, planes: Tensor, noisy: Tensor, time: Tensor, _base: object = 0.0) -> Tensor:
        sizes.append(len(planes))
        clean = torch.full_like(noisy, -1.0)
        for k, front in enumerate(planes[:, 3] > 0):
            missing = [m for m in layers if not front[torch.from_numpy(m)].all()]
            if missing:
                clean[k] = 2 * torch.from_numpy(missing[0]).float() - 1
        if self.predicts_mask:
            return 20 * clean
        kept = self.schedule.alphas_cumprod[time].view(-1, 1, 1)
        return (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()

    monkeypatch.setattr(Denoiser, "forward", know)
    return sizes


@pytest.mark.parametrize("predicts", ["noise", "mask"])
@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_perfect_denoiser_yields_all_layers_in_order(
    monkeypatch: pytest.MonkeyPatch, predicts: str, sampler: str, samples: int
) -> None:
    sizes = perfect_denoiser(monkeypatch, STACK[:3])
    network = segmenter(predicts=predicts, sampler=sampler, samples=samples, steps=10)
    (found,) = network.segment(torch.rand(1, 3, SIZE, SIZE), [5])
    assert [each.layer for each in found] == [1, 2, 3] and len(sizes) == 4 * 10 and set(sizes) == {samples}
    front = np.zeros((SIZE, SIZE), dtype=bool)
    for each, truth in zip(found, STACK, strict=False):
        np.testing.assert_array_equal(each.amodal, truth)
        np.testing.assert_array_equal(each.visible, truth & ~front)
        assert each.score > 0.99
        front |= truth


def test_an_empty_frame_is_complete_after_one_blank_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = perfect_denoiser(monkeypatch, [])
    assert segmenter(steps=4).segment(torch.rand(2, 3, SIZE, SIZE), [0, 0]) == [[], []]
    assert len(sizes) == 2 * 4


def test_a_frame_has_at_most_n_max_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = perfect_denoiser(monkeypatch, STACK)
    (found,) = segmenter(most_layers=2, steps=4).segment(torch.rand(1, 3, SIZE, SIZE), [0])
    assert [each.layer for each in found] == [1, 2] and len(sizes) == 2 * 4


def test_a_layer_smaller_than_area_min_completes_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    perfect_denoiser(monkeypatch, [STACK[0], square(10, 10, side=2), square(5, 5)])
    (found,) = segmenter(least_area=5).segment(torch.rand(1, 3, SIZE, SIZE), [0])
    assert len(found) == 1 and (found[0].amodal == STACK[0]).all()


@pytest.mark.parametrize("together", [1, 3])
def test_the_layers_of_a_frame_do_not_depend_on_the_other_frames(together: int) -> None:
    network = segmenter(together=together)
    frames = torch.rand(4, 3, SIZE, SIZE)
    whole = network.predict_layers(frames, [1, 1, 2, 1])
    for k, seed in enumerate([1, 1, 2, 1]):
        (alone,) = network.predict_layers(frames[k : k + 1], [seed])
        assert_same_layers(whole[k], alone)
    (other,) = network.predict_layers(frames[:1], [3])
    assert whole[0].layers and (whole[0].layers[0].probability != other.layers[0].probability).any()


def assert_same_layers(one: LayerStack, other: LayerStack) -> None:
    assert len(one.layers) == len(other.layers)
    for a, b in zip(one.layers, other.layers, strict=True):
        np.testing.assert_array_equal(a.mask, b.mask)
        np.testing.assert_array_equal(a.probability, b.probability)


def test_without_the_cumulative_mask_the_network_gets_the_layer_number(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def look(_self: Denoiser, planes: Tensor, noisy: Tensor, *_: object) -> Tensor:
        seen.append(planes[:, 3])
        return torch.where(torch.arange(SIZE) < 2 * len(seen), 9.0, -9.0).expand_as(noisy)

    monkeypatch.setattr(Denoiser, "forward", look)
    segmenter(cumulative=False, predicts="mask", steps=1).segment(torch.rand(1, 3, SIZE, SIZE), [0])
    assert [round(float((each.mean() + 1) / 2), 3) for each in seen] == [0.2, 0.4, 0.6, 0.8]
    assert all(float(each.std()) < 1e-6 for each in seen)


def test_a_segmenter_is_loaded_strictly(tmp_path: Path) -> None:
    folder, network = tmp_path / "m", segmenter()
    save_segmenter(folder, network, {}, "# m\n")
    loaded = load_segmenter(str(folder))
    assert loaded.head == "cumulative" and loaded.model.config == network.config
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.model.state_dict()[name])
    config = json.loads((folder / "config.json").read_text())
    config["segmenter"]["settings"]["denoiser"]["widths"] = [8, 16]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="has shape"):
        load_segmenter(str(folder))
