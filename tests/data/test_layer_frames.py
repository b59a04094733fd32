"""Layers of training frames."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import torch

from tests.data.helpers import ONE_FRAME, SQUARES, stacked_clip
from vidamodal.data.augment import AugmentConfig
from vidamodal.data.layer_frames import LayerClips


def samples(count: int, omitted: float = 0.0, **changes: object) -> list[tuple[int, np.ndarray, np.ndarray]]:
    data = LayerClips(stacked_clip(SQUARES), 0, count, replace(ONE_FRAME, **changes), 64, omitted)  # type: ignore[arg-type]
    drawn = [data[k] for k in range(count)]
    return [(int(d.number), d.cumulative[0].numpy() > 0.5, d.mask[0].numpy() > 0.5) for d in drawn]


def test_a_sample_holds_a_layer_and_all_layers_in_front_and_may_be_the_blank_layer() -> None:
    of_layer = {1: SQUARES[0] | SQUARES[3], 2: SQUARES[1], 3: SQUARES[2], 4: np.zeros((64, 64), dtype=bool)}
    drawn = samples(60)
    for number, cumulative, mask in drawn:
        np.testing.assert_array_equal(mask, of_layer[number])
        in_front_of_it = [m for n, m in of_layer.items() if n < number]
        np.testing.assert_array_equal(cumulative, np.any([*in_front_of_it, of_layer[4]], axis=0))
    counts = np.bincount([number for number, *_ in drawn], minlength=5)[1:]
    assert counts.min() >= 7  # of 15


def test_eq_12_omits_one_layer_from_the_configured_share_of_cumulative_masks() -> None:
    for share in (0.0, 0.4, 1.0):
        whole, noisy = samples(80), samples(80, omitted=share)
        lacks = 0
        for (number, cumulative, mask), (number_too, spoilt, mask_too) in zip(whole, noisy, strict=True):
            assert number == number_too and (mask == mask_too).all()
            lost = cumulative & ~spoilt
            assert not (spoilt & ~cumulative).any()
            of_layer = {2: SQUARES[1], 3: SQUARES[2]}
            taken = [k for k in of_layer if k < number and (lost == of_layer[k]).all()]
            assert taken or not lost.any()  # never the outline of the layer that is predicted, or of one behind it
            lacks += bool(lost.any())
        deep = sum(number > 2 for number, *_ in whole)
        assert lacks == deep if share == 1 else 0.6 * share * deep <= lacks <= 1.4 * share * deep


def test_samples_depend_on_seed_and_index_alone_and_are_mirrored_as_a_whole() -> None:
    augment = AugmentConfig(mirror=1.0)
    plain, turned = samples(6), samples(6, augment=augment)
    for (_, cumulative, mask), (_, cumulative_too, mask_too) in zip(plain, turned, strict=True):
        assert (cumulative == cumulative_too[:, ::-1]).all() and (mask == mask_too[:, ::-1]).all()
    data = LayerClips(stacked_clip(SQUARES), 0, 6, ONE_FRAME, 64)
    other = LayerClips(stacked_clip(SQUARES), 1, 6, ONE_FRAME, 64)
    assert all(torch.equal(getattr(data[3], f.name), getattr(data[3], f.name)) for f in fields(data[3]))
    assert [int(data[k].number) for k in range(6)] != [int(other[k].number) for k in range(6)]


def test_objects_with_few_visible_cells_are_left_out() -> None:
    speck = SQUARES[0].copy()
    speck[24:26, 4:8] = True  # 8 cells more than what hides it
    data = LayerClips(stacked_clip([SQUARES[0], speck]), 0, 20, ONE_FRAME, 64)
    assert {int(data[k].number) for k in range(20)} == {1, 2}
