"""Charts and contact-sheet panels of a data set's card."""

from __future__ import annotations

import numpy as np

from dataset_gen.card_clips import CardClip
from dataset_gen.charts import bar_chart, column_chart
from dataset_gen.dataset_statistics import DatasetStatistics
from vidamodal.occlusion.layers import layers_from_order
from vidamodal.report.colours import Colour
from vidamodal.report.overlay import ObjectMasks, enlarge_frame, object_masks_at, render_overlay
from vidamodal.report.sheet import contact_sheet
from vidamodal.types import Frame

_CHART_SIZE = (800, 460)
_LAYER_COLOURS: tuple[Colour, ...] = (
    (253, 224, 71),
    (134, 214, 90),
    (45, 190, 150),
    (60, 150, 220),
    (125, 110, 235),
    (200, 90, 200),
)
"""Colours of occlusion layers from the front; the last is for all further layers."""


def clip_panels(clip: CardClip) -> dict[str, Frame]:
    """Return panels of a clip's middle frame by title: image, visible masks, amodal masks and occlusion layers."""
    middle = clip.tracks.video.frames // 2
    image, objects = clip.read_frame(middle), object_masks_at(clip.tracks, middle)
    grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.5, 3, axis=2).astype(np.uint8)
    order = clip.tracks.order[middle] if clip.tracks.order else ()
    layers = layers_from_order([item.id for item in objects], order).tolist()
    layered = [
        ObjectMasks(item.id, item.visible, item.amodal, str(layer), _LAYER_COLOURS[min(layer, len(_LAYER_COLOURS)) - 1])
        for item, layer in zip(objects, layers, strict=True)
    ]
    return {
        f"{clip.key}, frame {middle}": enlarge_frame(image),
        f"{clip.key}: visible": render_overlay(image, [ObjectMasks(item.id, item.visible, None) for item in objects]),
        f"{clip.key}: amodal (hatched: occluded)": render_overlay(image, objects),
        f"{clip.key}: layers (1: front)": render_overlay(grey, layered),
    }


def charts(statistics: DatasetStatistics) -> Frame:
    """Return charts of occlusion, durations of full occlusion, sizes and labels."""
    labels = statistics.labels.most_common()
    names, counts = [name for name, _ in labels], [count for _, count in labels]
    size = _CHART_SIZE
    return contact_sheet(
        [
            column_chart("Occlusion of objects", *statistics.occlusion_bars(), "% occluded, of object-frames", size),
            column_chart("Duration of full occlusion", *statistics.duration_bars(), "frames", size),
            column_chart("Size of objects", *statistics.size_bars(), "% of the image's side, of object-frames", size),
            bar_chart("Labels", names, counts, size),
        ],
        columns=2,
    )
