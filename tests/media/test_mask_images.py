"""Masks as PNGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.formats.mask_data import expected, id_maps
from vidamodal.media.mask_images import write_object_masks


def test_unknown_frames_of_an_object_get_no_png(tmp_path: Path) -> None:
    write_object_masks(tmp_path, 12, expected().tracks[1].visible)
    assert sorted(p.name for p in (tmp_path / "12").iterdir()) == ["00001.png", "00003.png", "00004.png"]
    values = np.asarray(Image.open(tmp_path / "12" / "00001.png"))
    np.testing.assert_array_equal(values, (id_maps()[1] == 5) * 255)
