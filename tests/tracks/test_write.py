"""tracks.json reads back as it was written, and invalid clips are not written."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.formats.tracks_data import clip_of
from vidamodal.tracks import dumps_tracks, loads_tracks, write_tracks
from vidamodal.types import ClipTracks, Hypothesis, Rle, Track, VideoInfo


@st.composite
def clips(draw: st.DrawFn) -> ClipTracks:
    h, w, t = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(1, 4))
    fractions = st.integers(0, 10_000).map(lambda v: v / 10_000)
    tracks = []
    for number in draw(st.lists(st.integers(0, 2**31 - 1), max_size=3, unique=True)):
        amodal = draw(npst.arrays(bool, (t, h, w)))
        visible = amodal & draw(npst.arrays(bool, (t, h, w)))
        known = draw(st.lists(st.booleans(), min_size=t, max_size=t))
        masks = tuple(Rle.encode(m) if k else None for m, k in zip(amodal, known, strict=True))
        has_amodal = draw(st.booleans())
        tracks.append(
            Track(
                id=number,
                visible=tuple(Rle.encode(m) if draw(st.booleans()) else None for m in visible),
                amodal=masks if has_amodal else None,
                confidence=tuple(draw(fractions) if k else None for k in known) if has_amodal else None,
                hypotheses=(Hypothesis(draw(fractions), masks),) if has_amodal and draw(st.booleans()) else (),
                label=draw(st.none() | st.text(max_size=8)),
                boxes=tuple((-1.5, k, 2.0, k + 0.25) if k else None for k in range(t)) if draw(st.booleans()) else None,
                occlusion=tuple(draw(st.integers(0, 3)) if k else None for k in known) if draw(st.booleans()) else None,
                truncated=tuple(draw(st.booleans()) if k else None for k in known) if draw(st.booleans()) else None,
                present=tuple(draw(fractions) if k else None for k in known) if draw(st.booleans()) else None,
            )
        )
    ids = [track.id for track in tracks]
    pairs = ((ids[0], ids[1]),) if len(ids) > 1 else ()
    order = draw(st.none() | st.just((pairs,) * t))
    fps = draw(st.integers(1, 2_400_000)) / 10_000
    name = draw(st.text(alphabet="ab ./\u00e9", max_size=6).filter(lambda s: not s.startswith("/")))
    return ClipTracks(VideoInfo(name, h, w, t, fps), tuple(tracks), draw(st.booleans()), order)


@given(clips())
@settings(max_examples=60)
def test_written_clips_read_back(clip: ClipTracks) -> None:
    text = dumps_tracks(clip)
    assert loads_tracks(text, "f") == clip
    assert dumps_tracks(loads_tracks(text, "f")) == text


def on_canvas(clip: ClipTracks, margins: tuple[int, int, int, int]) -> ClipTracks:
    """The same clip with amodal masks that go on in the margins."""
    top, left, bottom, right = margins

    def padded(mask: Rle | None) -> Rle | None:
        return mask and Rle.encode(np.pad(mask.decode(), ((top, bottom), (left, right)), constant_values=True))

    tracks = [
        dataclasses.replace(track, amodal_full=track.amodal and tuple(map(padded, track.amodal)))
        for track in clip.tracks
    ]
    return dataclasses.replace(clip, video=dataclasses.replace(clip.video, canvas=margins), tracks=tuple(tracks))


@given(clips(), st.tuples(*[st.integers(0, 5)] * 4))
@settings(max_examples=30)
def test_masks_on_a_padded_canvas_are_read_back(clip: ClipTracks, margins: tuple[int, int, int, int]) -> None:
    wide = on_canvas(clip, margins)
    assert loads_tracks(dumps_tracks(wide), "f") == wide


def test_text_is_ascii_with_one_line_a_track() -> None:
    text = dumps_tracks(clip_of(n=4))
    assert text.isascii() and text.endswith("\n")
    assert sum(line.lstrip().startswith('{"id"') for line in text.splitlines()) == 4


def test_numbers_have_four_decimals() -> None:
    clip = clip_of(n=1)
    track = dataclasses.replace(clip.tracks[0], confidence=(None, 1 / 3, 2 / 3))
    read = loads_tracks(dumps_tracks(dataclasses.replace(clip, tracks=(track,))), "f")
    assert read.tracks[0].confidence == (None, 0.3333, 0.6667)


def test_no_counts_look_like_an_absolute_path() -> None:
    mask = np.zeros(720 * 4, dtype=bool)
    mask[341 : 341 + 44] = True  # counts that begin "e:\\"
    rle = Rle.encode(mask.reshape(4, 720).T)
    assert re.match(r"[A-Za-z]:\\", rle.counts)
    clip = ClipTracks(VideoInfo("v.mp4", 720, 4, 1, 1.0), (Track(0, (rle,)),))
    text = dumps_tracks(clip)
    assert not re.search(r'"(/|[A-Za-z]:\\\\)', text)
    assert loads_tracks(text, "f") == clip


def test_invalid_clips_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "tracks.json"
    write_tracks(path, clip_of())
    before = path.read_bytes()
    clip = clip_of()
    wrong = dataclasses.replace(clip.tracks[0], visible=clip.tracks[0].visible[:2])
    for broken in (
        dataclasses.replace(clip, tracks=(clip.tracks[1], clip.tracks[1])),
        dataclasses.replace(clip, tracks=(wrong,)),
        dataclasses.replace(clip, provenance={"loss": float("nan")}),
    ):
        with pytest.raises(ValueError, match=r"listed twice|entries for|not JSON compliant"):
            write_tracks(path, broken)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


LONG = """
import sys, tracemalloc
import numpy as np
from vidamodal.tracks import dumps_tracks, write_tracks
from vidamodal.types import ClipTracks, Rle, Track, VideoInfo
noise = Rle.encode(np.random.default_rng(0).random((64, 64)) < 0.5)
clip = ClipTracks(VideoInfo("a.mp4", 64, 64, 5000, 24.0), (Track(1, (noise,) * 5000),), exhaustive=True)
tracemalloc.start()
write_tracks(sys.argv[1], clip)
print(tracemalloc.get_traced_memory()[1])
tracemalloc.stop()
assert open(sys.argv[1]).read() == dumps_tracks(clip)
"""


def test_writing_a_long_video_takes_little_memory(tmp_path: Path) -> None:
    """An hour of video with eight objects has 400 MB of text. A process without other threads is measured."""
    path = tmp_path / "a.tracks.json"
    run = subprocess.run([sys.executable, "-c", LONG, path], capture_output=True, text=True, check=True)
    assert path.stat().st_size > 8e6
    assert int(run.stdout) < path.stat().st_size / 4
