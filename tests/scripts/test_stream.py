"""Tests of the experiment on live prediction."""

from __future__ import annotations

from argparse import Namespace

from scripts.experiments.stream import __main__ as stream
from tests.helpers import ToyClip
from vidamodal.formats import Clip
from vidamodal.models.amodal import AmodalModel
from vidamodal.models.folder import LoadedModel


def test_methods_see_visible_masks_alone_and_all_are_on_the_page(clip: ToyClip, model: AmodalModel) -> None:
    frames = 5
    source = Clip("toy", lambda: clip.tracks, lambda: None)
    rows = stream.run_study([source], LoadedModel(model, "small", "", ""), [4], frames)
    assert list(rows) == ["whole clip", "live, 4 frames"] and all(row.cost > 0 for row in rows.values())
    whole, live = (row.scores[clip.tracks.exhaustive][0] for row in rows.values())
    assert whole.full is not None and live.full is not None and 0 < live.full < 1
    text = stream.page(rows, Namespace(truth="set", windows=[4], frames=frames), 1)
    assert (
        "| live, 4 frames |" in text
        and "| exhaustive scenes (1) |" in text
        and "--truth set --clips 1 --frames 5 --windows 4" in text
    )


def test_a_live_prediction_has_the_masks_of_the_steps(clip: ToyClip, model: AmodalModel) -> None:
    from vidamodal.inference.stream import Stream

    loaded = LoadedModel(model, "small", "", "")
    predicted, seconds = stream.predict_live(Stream(loaded, window=4), stream.first_frames(clip.tracks, 3))
    assert seconds > 0
    for track in predicted.tracks:
        first = next((t for t, mask in enumerate(track.visible) if mask is not None and mask.area()), 3)
        assert [mask is not None for mask in track.amodal or ()] == [t >= first for t in range(3)]
