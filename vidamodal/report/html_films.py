"""The section of the report that shows film strips of the worst and of median object-tracks."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from vidamodal.formats import Clip
from vidamodal.metrics.averages import mean
from vidamodal.metrics.clip_pairs import clips_of, pair_clips
from vidamodal.metrics.counts import TrackCounts
from vidamodal.metrics.evaluate import Evaluation
from vidamodal.metrics.tables import percent
from vidamodal.metrics.track_matching import match_by_visible_masks
from vidamodal.report.colours import FALSE_NEGATIVE, FALSE_POSITIVE, OCCLUDED, VISIBLE
from vidamodal.report.html_elements import colour_key
from vidamodal.report.strips import Strip, StripRow, film_strip
from vidamodal.types import ClipTracks

WORST, MEDIAN = 6, 3
"""Numbers of object-tracks shown as film strips."""


@dataclass(frozen=True)
class _Ranked:
    """An object-track, the score it is ranked by and the number of frames behind the score."""

    video: str
    id: int
    score: float
    frames: int


@dataclass(frozen=True)
class _Prediction:
    """The predicted clips of one method, by key, and their evaluation."""

    result: Evaluation
    clips: Mapping[str, Clip]

    def read(self, key: str, truth: ClipTracks) -> ClipTracks | None:
        """Return the tracks that were scored, or None if there are none of the size and length of the truth."""
        source = self.clips.get(key)
        prediction = source.tracks_as("amodal") if source else None
        sizes = {(c.video.frames, c.video.height, c.video.width) for c in (prediction, truth) if c}
        if prediction is None or len(sizes) > 1:
            return None
        return prediction if self.result.matched is None else match_by_visible_masks(prediction, truth)[0]

    def counts(self, track: _Ranked) -> TrackCounts:
        """Return the pixel counts of a track."""
        video = next(video for video in self.result.counts if video.key == track.video)
        return next(counts for counts in video.tracks if counts.id == track.id)


def films_section(results: Mapping[str, Evaluation], paths: Mapping[str, Path], truth: Path, quiet: bool = True) -> str:
    """Return film strips of the worst and of median tracks by the first method's IoU of occluded regions.

    Args:
        results: Evaluations by method.
        paths: The predictions by method.
        truth: The ground truth.
        quiet: Hide the progress bar.
    """
    first = next(iter(results))
    ranked = _rank(results[first])
    middle = ranked[max(0, len(ranked) - MEDIAN) // 2 :][:MEDIAN]
    chosen = {"Worst": ranked[:WORST], "Median": [track for track in middle if track not in ranked[:WORST]]}
    clips = clips_of(truth)
    predictions = {name: _Prediction(result, pair_clips(paths[name], truth)[1]) for name, result in results.items()}
    parts = [
        "<section><h2>Film strips</h2>",
        f"<p>Object-tracks ranked by the mean IoU outside V of {escape(first)} where 5 % or more is occluded, fully "
        "occluded frames included. Frames are spread over the track; black lies outside the image.</p>",
        colour_key(
            {
                "visible": VISIBLE,
                "occluded": OCCLUDED,
                "false positive": FALSE_POSITIVE,
                "false negative": FALSE_NEGATIVE,
            }
        ),
    ]
    if not ranked:
        parts.append("<p>No object is ever occluded, so there are no tracks to rank.</p>")
    with tqdm(total=sum(map(len, chosen.values())), desc="film strips", unit="track", disable=quiet) as bar:
        for title, tracks in chosen.items():
            if tracks:
                parts.append(f"<h2>{title} of {len(ranked)} tracks</h2>")
            for track in tracks:
                parts.append(_film(track, clips[track.video], predictions))
                bar.update()
    return "".join([*parts, "</section>"])


def _rank(result: Evaluation) -> list[_Ranked]:
    """Return the tracks that are ever occluded, worst first; among equals, those with more occluded frames first."""
    tracks = [
        _Ranked(video.key, track.id, score, int(_ranking_frames(track).sum()))
        for video in result.counts
        for track in video.tracks
        if (score := _ranking_score(track)) is not None
    ]
    return sorted(tracks, key=lambda track: (track.score, -track.frames, track.video, track.id))


def _ranking_frames(track: TrackCounts) -> Bool[np.ndarray, " t"]:
    """Return the scored frames in which at least 5 % of the object is occluded, up to all of it."""
    return np.asarray(track.scored & track.occluded)


def _ranking_score(track: TrackCounts) -> float | None:
    return mean(track.occluded_iou[_ranking_frames(track)])


def _film(track: _Ranked, clip: Clip, predictions: Mapping[str, _Prediction]) -> str:
    """Return the figure of one object-track."""
    truth = clip.tracks_as("amodal")
    predicted = {name: prediction.read(track.video, truth) for name, prediction in predictions.items()}
    strip = film_strip(truth, clip.frames, track.id, predicted)
    counts = {name: prediction.counts(track) for name, prediction in predictions.items()}
    scores = ", ".join(f"{escape(name)} {percent(_ranking_score(each))}" for name, each in counts.items())
    label = f" &middot; {escape(strip.label)}" if strip.label else ""
    plain = f" Plain background: {strip.plain_reason}." if strip.plain_reason else ""
    share = next(iter(counts.values())).occluded_share
    header = "".join(f"<th>frame {t}<small>{percent(share[t])} % occluded</small></th>" for t in strip.frames)
    rows = "".join(_film_row(row, strip, counts) for row in strip.rows)
    return (
        f'<figure class="film"><figcaption><b>{escape(track.video)} &middot; track {track.id}</b>{label}'
        f"<span>{track.frames} frames with 5 % or more occluded; IoU outside V there: {scores}.{plain}</span>"
        f'</figcaption><div class="scroll"><table><thead><tr><th></th>{header}</tr></thead><tbody>{rows}</tbody>'
        "</table></div></figure>"
    )


def _film_row(row: StripRow, strip: Strip, counts: Mapping[str, TrackCounts]) -> str:
    name = f"<small>{escape(row.method)}</small>" if row.method is not None else ""
    cells = []
    for t, picture in zip(strip.frames, row.pictures, strict=True):
        alt = escape(f"{row.title} {row.method or ''} frame {t}")
        data = base64.b64encode(picture).decode("ascii")
        below = _frame_scores(counts[row.method], t) if row.method is not None and row.title == "error" else ""
        cells.append(f'<td><img alt="{alt}" src="data:image/webp;base64,{data}">{below}</td>')
    return f"<tr><th>{row.title}{name}</th>{''.join(cells)}</tr>"


def _frame_scores(track: TrackCounts, t: int) -> str:
    outside = f"<small>outside V {percent(track.occluded_iou[t])}</small>" if track.occluded[t] else ""
    return f"<small>IoU {percent(track.iou[t])}</small>{outside}"
