"""Average precision and recall of predicted masks or tracks, by pycocotools' own matching and averaging."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from copy import deepcopy

import numpy as np
from pycocotools.cocoeval import COCOeval

from vidamodal.metrics.counts import IouTable

_ALL_AREAS, _MAX_DETECTIONS = [0, 1e10], 100


def average_precision(images: Iterable[IouTable]) -> dict[str, float | None]:
    """Return COCO's average precision and recall over images, with objects of all sizes in one class.

    Of an image's predictions with equal scores, the one with the highest IoU ranks first, so that the result does not
    depend on ids.

    Args:
        images: One table per image (frame), or one per video for whole tracks.

    Returns:
        ``ap`` over IoU thresholds 0.5:0.05:0.95, ``ap50``, ``ap75``, and ``ar``, the recall over the same thresholds
        with at most 100 predictions an image; None where no true mask is required.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # COCOeval reports its progress
        evaluation = COCOeval(iouType="segm")
        parameters = evaluation.params
        parameters.maxDets, parameters.areaRng, parameters.areaRngLbl = [_MAX_DETECTIONS], [_ALL_AREAS], ["all"]
        parameters.catIds = [1]
        evaluation.evalImgs = [_evaluate_image(evaluation, number, image) for number, image in enumerate(images)]
        parameters.imgIds = list(range(len(evaluation.evalImgs)))
        evaluation._paramsEval = deepcopy(parameters)
        evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    return {
        "ap": _mean_defined(precision),
        "ap50": _mean_defined(precision[np.isclose(parameters.iouThrs, 0.5)]),
        "ap75": _mean_defined(precision[np.isclose(parameters.iouThrs, 0.75)]),
        "ar": _mean_defined(recall),
    }


def _evaluate_image(evaluation: COCOeval, number: int, image: IouTable) -> object:
    """Match one image's predictions, whose IoUs are already known, to its true masks."""
    order = np.lexsort((-image.iou.max(axis=1, initial=0), -image.score))
    evaluation._gts[number, 1] = [
        {"id": k + 1, "ignore": int(ignored), "iscrowd": 0, "area": 1} for k, ignored in enumerate(image.ignored)
    ]
    evaluation._dts[number, 1] = [{"id": k + 1, "score": float(image.score[k]), "area": 1} for k in order]
    evaluation.ious[number, 1] = image.iou[order]
    result = evaluation.evaluateImg(number, 1, _ALL_AREAS, _MAX_DETECTIONS)
    evaluation._gts.clear(), evaluation._dts.clear(), evaluation.ious.clear()
    return result


def _mean_defined(values: np.ndarray) -> float | None:
    defined = values[values > -1]  # -1: no true mask is required
    return float(defined.mean()) if defined.size else None
