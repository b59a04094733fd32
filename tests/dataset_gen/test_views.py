"""Choice of cameras by a histogram of occluded fractions."""

from __future__ import annotations

import numpy as np
import pytest

from dataset_gen.library import scene_meshes
from dataset_gen.views import choose_camera, histogram, parse_histogram, probe_occluded_fractions
from tests.dataset_gen.helpers import needs_physics, settled_scene
from vidamodal.types import InputError


@needs_physics
def test_a_target_histogram_moves_the_occluded_fractions_towards_it() -> None:
    means = {}
    for name, weights in (("low", "4,2,1,1"), ("high", "1,1,2,4")):
        occluded = []
        for seed in range(5):
            spec = settled_scene("movid_a", seed, frames=12, split="validation")
            meshes = scene_meshes(spec)
            chosen = choose_camera(spec, meshes, parse_histogram(weights))
            assert chosen == choose_camera(spec, meshes, parse_histogram(weights))
            assert chosen.objects == spec.objects and len(chosen.camera.positions) == spec.frames
            occluded.append(probe_occluded_fractions(chosen, meshes, chosen.camera))
        means[name] = np.concatenate(occluded).mean()
    assert means["high"] > means["low"] + 0.1


@pytest.mark.parametrize("text", ["", "1", "a,b", "1,-1", "0,0", "1,nan", "1,inf"])
def test_texts_without_weights_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="two or more weights"):
        parse_histogram(text)


def test_histograms_sum_to_one() -> None:
    assert sum(parse_histogram("1,2,1")) == pytest.approx(1)
    assert histogram(np.array([0.0, 0.2, 1.0, 1.0]), 4).tolist() == [0.5, 0, 0, 0.5]
    assert histogram(np.zeros(0), 4).tolist() == [0.25] * 4
