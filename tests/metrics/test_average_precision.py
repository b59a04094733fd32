"""Average precision against COCOeval on the masks themselves."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.metrics.helpers import seeds
from vidamodal.metrics.average_precision import average_precision
from vidamodal.metrics.counts import IouTable
from vidamodal.rle import overlaps, pack
from vidamodal.types import Rle

HEIGHT, WIDTH = 40, 50


@dataclass(frozen=True)
class Frame:
    """Boxes of one frame, some of them predicted with a small shift, each with a different score."""

    predicted: Sequence[np.ndarray]
    true: Sequence[np.ndarray]
    score: np.ndarray

    def table(self) -> IouTable:
        n, m = len(self.predicted), len(self.true)
        iou = overlaps([Rle.encode(mask) for mask in self.predicted], [Rle.encode(mask) for mask in self.true])[0]
        layers = np.ones(n, dtype=int), np.ones(m, dtype=int)
        return IouTable(tuple(range(n)), tuple(range(m)), iou, self.score, np.zeros(m, dtype=bool), *layers)


def random_frame(rng: np.random.Generator) -> Frame:
    true = [random_box(rng) for _ in range(rng.integers(0, 5))]
    predicted = [np.roll(mask, rng.integers(0, 4, size=2), axis=(0, 1)) for mask in true if rng.random() < 0.8]
    predicted += [random_box(rng) for _ in range(2)]
    return Frame(predicted, true, rng.random(len(predicted)))


def random_box(rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    top, left = rng.integers(0, 20, size=2)
    mask[top : top + rng.integers(6, 20), left : left + rng.integers(6, 25)] = True
    return mask


def annotation(number: int, image: int, mask: np.ndarray, score: float) -> dict[str, Any]:
    packed = pack(Rle.encode(mask))
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": packed,
        "iscrowd": 0,
        "score": score,
        "bbox": coco_mask.toBbox(packed).tolist(),
        "area": int(mask.sum()),
    }


def dataset(annotations: Sequence[dict[str, Any]], images: int) -> COCO:
    side = COCO()
    side.dataset = {
        "images": [{"id": k, "height": HEIGHT, "width": WIDTH} for k in range(images)],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    side.createIndex()
    return side


@given(seeds)
@settings(max_examples=10)
def test_average_precision_is_that_of_cocoeval_on_the_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [random_frame(rng) for _ in range(4)]
    true = [(image, mask, 1.0) for image, frame in enumerate(frames) for mask in frame.true]
    predicted = [
        (image, mask, float(score))
        for image, frame in enumerate(frames)
        for mask, score in zip(frame.predicted, frame.score, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = [
            dataset([annotation(number, *each) for number, each in enumerate(masks, start=1)], len(frames))
            for masks in (true, predicted)
        ]
        evaluation = COCOeval(*sides, "segm")
        evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    expected = [None if value == -1 else pytest.approx(value) for value in evaluation.stats[[0, 1, 2, 8]]]
    result = average_precision(frame.table() for frame in frames)
    assert [result[key] for key in ("ap", "ap50", "ap75", "ar")] == expected
