"""Average precision and recall of masks that find objects, by pycocotools' own matching and averaging."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools.cocoeval import COCOeval

_ANY_AREA, _MOST = [0, 1e10], 100


@dataclass(frozen=True)
class Matches:
    """How n predicted masks (or tracks) lie on m true ones of the same frame (or video); none of them is empty.

    ``ignored`` truth may be found, but need not be. Layers are those of `vidamodal.occlusion.layers`.
    """

    predicted_ids: tuple[int, ...]
    true_ids: tuple[int, ...]
    iou: Float[np.ndarray, "n m"]
    score: Float[np.ndarray, " n"]
    ignored: Bool[np.ndarray, " m"]
    predicted_layer: Int[np.ndarray, " n"]
    true_layer: Int[np.ndarray, " m"]

    def perfected(self) -> Matches:
        """Those of a perfect predictor: every true mask, with certainty, in its layer, and nothing else."""
        true = len(self.true_ids)
        return Matches(
            self.true_ids, self.true_ids, np.eye(true), np.ones(true), self.ignored, self.true_layer, self.true_layer
        )

    def asking_for(self, wanted: Bool[np.ndarray, " m"]) -> Matches:
        """The same, where truth that is not wanted is ignored."""
        return replace(self, ignored=self.ignored | ~wanted)

    def keeping(self, kept: Bool[np.ndarray, " n"]) -> Matches:
        """The same without the predictions that are not kept."""
        return replace(
            self,
            predicted_ids=tuple(number for number, keep in zip(self.predicted_ids, kept, strict=True) if keep),
            iou=self.iou[kept],
            score=self.score[kept],
            predicted_layer=self.predicted_layer[kept],
        )


def average_precision(images: Iterable[Matches]) -> dict[str, float | None]:
    """``ap`` over IoU 0.5:0.05:0.95, ``ap50``, ``ap75``, and ``ar`` (recall over the same IoUs, at most 100 masks an
    image), with objects of all sizes in one class; None where nothing is asked for.

    Of an image's predictions with the same score, the one that fits best ranks first, so that ids do not decide.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # COCOeval reports its progress
        rule = COCOeval(iouType="segm")
        rule.params.maxDets, rule.params.areaRng, rule.params.areaRngLbl = [_MOST], [_ANY_AREA], ["all"]
        rule.params.catIds = [1]
        found = []
        for number, image in enumerate(images):
            best = image.iou.max(axis=1, initial=0)
            order = np.lexsort((-best, -image.score))
            rule._gts[number, 1] = [
                {"id": g + 1, "ignore": int(ignore), "iscrowd": 0, "area": 1} for g, ignore in enumerate(image.ignored)
            ]
            rule._dts[number, 1] = [{"id": d + 1, "score": float(image.score[d]), "area": 1} for d in order]
            rule.ious[number, 1] = image.iou[order]
            found.append(rule.evaluateImg(number, 1, _ANY_AREA, _MOST))
            rule._gts.clear(), rule._dts.clear(), rule.ious.clear()
        rule.evalImgs = found
        rule.params.imgIds = list(range(len(found)))
        rule._paramsEval = deepcopy(rule.params)
        rule.accumulate()
    precision, recall = rule.eval["precision"], rule.eval["recall"]
    thresholds = rule.params.iouThrs
    return {
        "ap": _mean(precision),
        "ap50": _mean(precision[np.isclose(thresholds, 0.5)]),
        "ap75": _mean(precision[np.isclose(thresholds, 0.75)]),
        "ar": _mean(recall),
    }


def _mean(values: np.ndarray) -> float | None:
    asked = values[values > -1]  # -1: nothing to find
    return float(asked.mean()) if asked.size else None
