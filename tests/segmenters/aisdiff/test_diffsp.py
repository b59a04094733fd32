"""Shape priors of objects: what they depend on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.segmenters.aisdiff.helpers import (
    LABELS,
    PRIOR,
    object_crop,
    object_crops,
)
from vidamodal.noise import Noise
from vidamodal.segmenters.aisdiff.diffsp import DiffSP


def test_a_prior_depends_on_its_object_and_noise_only() -> None:
    torch.manual_seed(0)
    model = DiffSP(PRIOR, LABELS).eval()
    objects = object_crops(5, (0, 1, 2, -1, 0))
    noise = model.initial_noise(Noise.of(*range(5)), objects.image)
    whole = model(objects, noise)
    assert whole.shape == (5, 4, 4) and whole.amin() == 0 and whole.amax() == 1
    for k in range(5):
        assert torch.equal(model(object_crop(objects, k), noise[k : k + 1])[0], whole[k])
    assert not torch.equal(model(objects, model.initial_noise(Noise.of(*range(5, 10)), objects.image)), whole)


@pytest.mark.parametrize("switch", ["category", "occluding"])
def test_conditions_that_are_switched_off_have_no_effect(switch: str) -> None:
    objects = object_crops(2, (0, 1))
    label, occluding = objects.label, objects.occluding
    changed = {"category": replace(objects, label=label + 1), "occluding": replace(objects, occluding=0 * occluding)}
    for on in (True, False):
        torch.manual_seed(0)
        model = DiffSP(replace(PRIOR, **{switch: on}), LABELS).eval()  # type: ignore[arg-type]
        noise = model.initial_noise(Noise.of(0, 1), objects.image)
        assert torch.equal(model(objects, noise), model(changed[switch], noise)) != on


def test_the_prior_does_not_depend_on_invisible_pixels() -> None:
    torch.manual_seed(0)
    model, objects = DiffSP(PRIOR, LABELS).eval(), object_crops(2, (0, 1))
    noise = model.initial_noise(Noise.of(0, 1), objects.image)
    other = replace(objects, image=torch.where(objects.visible[:, None] > 0, objects.image, 1 - objects.image))
    assert torch.equal(model(objects, noise), model(other, noise))
