"""Mask and annotation formats: each is one module with an ``ID``, its reader, and its writer if there is one.

``find_dataset`` reads any of them; ``read_masks`` reads the masks of one video. A new format is a new module in this
package, at any depth, with the attributes and functions of ``base.Format``.
"""

from vidamodal.formats.base import Clip, Dataset, Fit, Format, MaskKind, VideoContext, WritableFormat
from vidamodal.formats.registry import (
    all_formats,
    find_dataset,
    find_masks,
    holds_dataset,
    read_masks,
    visible_masks,
    writable_formats,
)

__all__ = [
    "Clip",
    "Dataset",
    "Fit",
    "Format",
    "MaskKind",
    "VideoContext",
    "WritableFormat",
    "all_formats",
    "find_dataset",
    "find_masks",
    "holds_dataset",
    "read_masks",
    "visible_masks",
    "writable_formats",
]
