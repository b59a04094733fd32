"""Tests of film strips of single objects."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tests.report.helpers import still
from vidamodal.report.colours import OCCLUDED, VISIBLE
from vidamodal.report.strips import FRAMES, film_strip
from vidamodal.types import InputError


def test_frames_are_spread_over_the_track_and_parts_have_their_colours() -> None:
    truth = still(["box"], [8], frames=30)
    strip = film_strip(truth, lambda: None, 0, {"a": truth, "b": None})
    assert strip.frames[0] == 0 and strip.frames[-1] == 29 and len(strip.frames) == FRAMES
    assert [(row.title, row.method) for row in strip.rows] == [
        ("visible", None),
        ("truth", None),
        *((title, name) for name in ("a", "b") for title in ("prediction", "error")),
    ]
    visible, true, guess, right, nothing, _ = (
        np.array(Image.open(io.BytesIO(row.pictures[0]))).astype(int) for row in strip.rows
    )
    shows = [
        [np.abs(p - c).sum(axis=2).min() < 60 for c in (VISIBLE, OCCLUDED)] for p in (visible, true, guess, nothing)
    ]
    assert shows == [[True, False], [True, True], [True, True], [False, False]]
    assert np.ptp(right, axis=2).max() < 12, "no error, no colour"


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        (lambda: iter([np.zeros((64, 64, 3), np.uint8)] * 4), None),
        (lambda: iter([np.zeros((32, 64, 3), np.uint8)] * 4), "the video has another size or length"),
        (lambda: iter([np.zeros((64, 64, 3), np.uint8)] * 2), "the video has another size or length"),
        (lambda: None, "the video is missing"),
    ],
)
def test_a_plain_background_is_explained(video: object, reason: str | None) -> None:
    truth = still(["box"], [8])
    assert film_strip(truth, video, 0, {"a": truth}).plain_reason == reason  # type: ignore[arg-type]


def test_a_damaged_video_is_reported() -> None:
    def damaged() -> None:
        raise InputError("damaged")

    assert film_strip(still(["box"], [8]), damaged, 0, {}).plain_reason == "the video cannot be read"
