"""Sessions: what one browser tab has opened, predicted and corrected, with a folder for its files."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from vidamodal.app.bundle import write_bundle
from vidamodal.app.corrections import Corrections
from vidamodal.app.painting import PaintedMask, painter_page, read_painted
from vidamodal.app.uploads import store_upload
from vidamodal.demo import sample_clip
from vidamodal.formats import VideoContext, find_masks, visible_masks
from vidamodal.inference.api import predict
from vidamodal.inference.prediction import Prediction
from vidamodal.media.files import write_text
from vidamodal.media.prompts import Prompt
from vidamodal.media.video import VideoReader, open_video
from vidamodal.models.folder import DEFAULT
from vidamodal.progress import StoppedError, stoppable
from vidamodal.report.viewer import Pictures, write_view
from vidamodal.types import MAX_TRACK_ID, ClipTracks, Frame, InputError, Mask, Rle, Track

Source = Literal["masks", "points", "text", "detect"]
"""What gives the visible masks: the masks that were opened, marked points, words, or a segmenter."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class AppSettings:
    """Settings that all sessions share."""

    max_upload: int = 10**9
    """Most bytes that a video, or its masks, may have."""
    model: str = DEFAULT
    """The model that completes."""
    sam: str | None = None
    """SAM 2 video model for points and words; None for the default of `vidamodal.predict`."""
    detector: str | None = None
    """Model that finds what words name; None for the default of `vidamodal.predict`."""
    device: str = "auto"
    offline: bool = False
    """True to download nothing."""


def _exclusive(method: Callable[Concatenate[Session, P], T]) -> Callable[Concatenate[Session, P], T]:
    """Let one thread at a time run the methods of a session."""

    def run(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with session.lock:
            try:
                if session.closed:
                    raise StoppedError
                with stoppable(session.closing):
                    return method(session, *args, **kwargs)
            except StoppedError:
                raise InputError("this tab was closed. Reload the page.") from None

    return run


@dataclass
class Session:
    """A video with its masks, marks, prediction and corrections."""

    folder: Path
    """Everything that the session writes is in it."""
    settings: AppSettings
    keep: bool = False
    """True to keep the folder when the session is closed."""
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """Unguessable name under which the server offers the files of the session."""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)
    closing: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the tab is gone: a running prediction stops."""
    closed: bool = False
    uploads: Path | None = None
    """Folder of the uploaded files of what is open; None for the sample clip."""
    path: Path | None = None
    reader: VideoReader | None = None
    masks: ClipTracks | None = None
    """Visible masks that were opened."""
    prompts: dict[int, Prompt] = field(default_factory=dict)
    """Marked points by object id."""
    prediction: Prediction | None = None
    corrections: Corrections = field(default_factory=Corrections)

    @_exclusive
    def open(self, video: Sequence[Path], masks: Sequence[Path] = (), exhaustive: bool = False) -> tuple[str, ...]:
        """Open a video, and masks of it, in place of what was open before.

        Args:
            video: A video file, an image, several images, or a zip archive of them.
            masks: Masks in any supported format, as one file, several files, or a zip archive; empty for none.
            exhaustive: True if every object that may occlude another has a mask; otherwise the masks tell.

        Returns:
            How the files were understood, one line each.

        Raises:
            InputError: If files cannot be read, do not fit each other, or are too large. The session is then as before.
        """
        if not video:
            raise InputError("no video was chosen. Choose a video file, frames, or a zip archive of frames.")
        inputs = self.folder / f"input-{secrets.token_hex(4)}"
        try:
            opened = store_upload(video, inputs / "video", self.settings.max_upload)
            given = store_upload(masks, inputs / "masks", self.settings.max_upload) if masks else None
            return self._open(opened, given, exhaustive, inputs)
        except BaseException as error:
            shutil.rmtree(inputs, ignore_errors=True)
            if isinstance(error, InputError):
                raise InputError(str(error).replace(f"{inputs}{os.sep}", "")) from error
            raise

    @_exclusive
    def open_sample(self) -> tuple[str, ...]:
        """Open the bundled clip with its visible masks."""
        return self._open(*sample_clip(), exhaustive=False)

    def _open(self, video: Path, masks: Path | None, exhaustive: bool, uploads: Path | None = None) -> tuple[str, ...]:
        reader = open_video(video)
        known = None
        if masks is not None:
            known = visible_masks(find_masks(masks, VideoContext(reader.info, reader.stems)))
            known = replace(known, exhaustive=known.exhaustive or exhaustive)
        if self.uploads is not None and not self.keep:
            shutil.rmtree(self.uploads, ignore_errors=True)
        self.uploads, self.path, self.reader, self.masks = uploads, video, reader, known
        self.prompts, self.prediction, self.corrections = {}, None, Corrections()
        info = reader.info
        summary = f"{info.path}: {info.frames} frames of {info.width} x {info.height} pixels"
        if known is None:
            return (f"{summary}, no masks", *reader.notes)
        scene = "exhaustive" if known.exhaustive else "partial"
        return (f"{summary}, masks of {len(known.tracks)} objects, {scene} scene", *reader.notes, *known.notes)

    @property
    def length(self) -> int:
        """Number of frames of the video; 0 before one is open."""
        return 0 if self.reader is None else self.reader.info.frames

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The predicted tracks; none before the first prediction."""
        return () if self.prediction is None else self.prediction.tracks

    @_exclusive
    def frame(self, number: int) -> Frame:
        """Return a frame of the video.

        Raises:
            InputError: If no video is open, or if it has no such frame.
        """
        return next(self._video(number).frames(number, number + 1))

    @_exclusive
    def mark(self, number: int, frame: int, x: float, y: float, inside: bool) -> None:
        """Add a point to the marks of an object.

        Args:
            number: Id of the object.
            frame: Number of the frame; all points of an object lie in one frame.
            x: Horizontal position in pixels.
            y: Vertical position in pixels.
            inside: True for a point on the object, False for one outside it.

        Raises:
            InputError: If the object is marked in another frame, or if its first point lies outside it.
        """
        info = self._video(frame).info
        if not 0 <= number <= MAX_TRACK_ID:
            raise InputError(f"object {number}: ids are integers from 0 to {MAX_TRACK_ID}.")
        if not (0 <= x <= info.width and 0 <= y <= info.height):
            raise InputError(f"the point ({x:g}, {y:g}) lies outside the image of {info.width} x {info.height} pixels.")
        earlier = self.prompts.get(number, Prompt(number, frame))
        if earlier.frame != frame:
            raise InputError(
                f"object {number} is marked in frame {earlier.frame}. Add points there, or clear its marks first."
            )
        if not inside and not earlier.points:
            raise InputError(f"object {number}: the first point must lie on the object.")
        points, labels = (*earlier.points, (x, y)), (*earlier.labels, int(inside))
        self.prompts[number] = replace(earlier, points=points, labels=labels)

    @_exclusive
    def unmark(self, number: int) -> None:
        """Remove the marks of an object, if there are any."""
        self.prompts.pop(number, None)

    @_exclusive
    def complete(self, source: Source, text: str = "", quiet: bool = True) -> tuple[str, ...]:
        """Predict the amodal masks from a source of visible masks; earlier corrections are dropped.

        Args:
            source: What gives the visible masks.
            text: What to find, such as "person. dog.", for the source "text".
            quiet: Show no progress.

        Returns:
            What was assumed, one line each.

        Raises:
            InputError: If the source gives no masks, or if a model cannot be loaded.
        """
        self._video()
        if source == "masks" and self.masks is None:
            raise InputError("no masks are open. Open some, or mark or detect the objects.")
        if source == "points" and not self.prompts:
            raise InputError("no object is marked. Click on one, or choose another source of the masks.")
        if source == "text" and not text.strip():
            raise InputError('no words are written. Write what to find, such as "person. dog.".')
        prediction = predict(self._path(), quiet=quiet, **self._source(source, text), **self._model())
        if not any(track.ever_visible for track in prediction.tracks):
            raise InputError("no object was found. Open masks, or mark the objects.")
        self.prediction, self.corrections = prediction, Corrections()
        return prediction.notes

    @_exclusive
    def correct(self, number: int, frame: int, painted: Mask | None) -> str | None:
        """Correct the amodal mask of an object in a frame; `complete_again` uses it.

        Args:
            number: Id of the object.
            frame: Number of the frame.
            painted: The true amodal mask; None if the object is not in the image.

        Returns:
            What was added to the mask, if anything.

        Raises:
            InputError: If there is no such object or frame, or if the mask contradicts the visible one.
        """
        track = self._track(number)
        self._video(frame)
        if painted is None:
            self.corrections, note = self.corrections.with_gone(track, frame), None
        else:
            self.corrections, note = self.corrections.with_mask(track, frame, painted)
        return note

    @_exclusive
    def uncorrect(self, number: int, frame: int) -> None:
        """Remove the correction of an object in a frame.

        Raises:
            InputError: If there is none.
        """
        self.corrections = self.corrections.without(number, frame)

    @_exclusive
    def complete_again(self, quiet: bool = True) -> tuple[str, ...]:
        """Predict again from the visible masks of the last prediction and the corrections.

        Raises:
            InputError: If there is no prediction.
        """
        clip = self._prediction().clip
        tracks = tuple(Track(track.id, track.visible, label=track.label) for track in clip.tracks)
        visible = replace(clip, tracks=tracks, order=None, provenance={}, notes=())
        anchors = self.corrections.as_tracks(clip) if self.corrections.count else None
        self.prediction = predict(self._path(), visible, anchors=anchors, quiet=quiet, **self._model())
        return self.prediction.notes

    @_exclusive
    def amodal(self, number: int, frame: int) -> Mask:
        """Return the corrected or else the predicted amodal mask of an object in a frame; empty if it is unknown.

        Raises:
            InputError: If there is no such object or frame.
        """
        track, info = self._track(number), self._video(frame).info
        corrected = self.corrections.masks.get(number, {}).get(frame)
        mask = corrected if corrected is not None else (track.amodal or (None,) * info.frames)[frame]
        return Rle.empty(info.height, info.width).decode() if mask is None else mask.decode()

    @_exclusive
    def write_painter(self, number: int, frame: int) -> Path:
        """Write the page on which the amodal mask of an object in a frame can be painted, and return its path.

        Raises:
            InputError: If there is no such object or frame.
        """
        path = self.folder / "paint.html"
        write_text(path, painter_page(self.frame(frame), self.amodal(number, frame), number, frame))
        return path

    @_exclusive
    def correct_as_painted(self, text: str) -> tuple[PaintedMask, str | None]:
        """Correct an amodal mask as the painter hands it back; see `correct` and `read_painted`."""
        painted = read_painted(text, self._video().info)
        return painted, self.correct(painted.object, painted.frame, painted.mask)

    @_exclusive
    def write_page(self) -> Path:
        """Write the page that shows the prediction, and return its path."""
        prediction = self._prediction()
        anchors = {number: list(masks) for number, masks in self.corrections.masks.items()}
        return write_view(self.folder / "view.html", prediction.clip, Pictures(prediction.reader), anchors).path

    @_exclusive
    def export(self, choices: Sequence[str]) -> Path:
        """Write the prediction in some formats as one zip archive, and return its path.

        Raises:
            InputError: If there is no prediction, or if a format is unknown or cannot hold it.
        """
        path = self.folder / "export.zip"
        write_bundle(path, self._path(), self._prediction(), self.corrections, choices)
        return path

    def close(self) -> None:
        """Stop a running prediction and remove the folder, unless it is kept."""
        self.closing.set()
        with self.lock:
            self.closed = True
            self.reader = self.masks = self.prediction = None
            if not self.keep:
                shutil.rmtree(self.folder, ignore_errors=True)

    def _video(self, frame: int = 0) -> VideoReader:
        if self.reader is None:
            raise InputError("no video is open. Open one first.")
        if not 0 <= frame < self.reader.info.frames:
            raise InputError(f"there is no frame {frame}: the video has the frames 0 to {self.reader.info.frames - 1}.")
        return self.reader

    def _path(self) -> Path:
        self._video()
        assert self.path is not None
        return self.path

    def _prediction(self) -> Prediction:
        if self.prediction is None:
            raise InputError("there is no result yet. Complete the video first.")
        return self.prediction

    def _track(self, number: int) -> Track:
        for track in self._prediction().tracks:
            if track.id == number:
                return track
        raise InputError(f"there is no object {number}.")

    def _source(self, source: Source, text: str) -> dict[str, Any]:
        """Return the arguments of `predict` for a source of visible masks."""
        if source == "masks":
            return {"masks": self.masks}
        if source == "points":
            return {"points": self._write_points(), "sam": self.settings.sam}
        if source == "text":
            return {"text": text, "sam": self.settings.sam, "detector": self.settings.detector}
        return {"detect": True}

    def _model(self) -> dict[str, Any]:
        """Return the arguments of `predict` that are the same for all predictions."""
        settings = self.settings
        return {"model": settings.model, "device": settings.device, "offline": settings.offline}

    def _write_points(self) -> Path:
        objects = [
            {"id": p.id, "frame": p.frame, "points": [list(point) for point in p.points], "labels": list(p.labels)}
            for p in self.prompts.values()
        ]
        path = self.folder / "points.json"
        path.write_text(json.dumps({"objects": objects}), encoding="utf-8")
        return path


class Sessions:
    """The sessions of all open tabs."""

    def __init__(self, workdir: Path, settings: AppSettings, keep: bool = False) -> None:
        """Create sessions below a working folder, which stay there after they are closed if ``keep`` is true."""
        self.workdir, self.settings, self.keep = workdir, settings, keep
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}

    def of(self, tab: str) -> Session:
        """Return the session of a tab, which is created if it is new."""
        with self._lock:
            if tab not in self._open:
                folder = self.workdir / f"session-{secrets.token_hex(8)}"
                folder.mkdir(parents=True)
                self._open[tab] = Session(folder, self.settings, self.keep)
            return self._open[tab]

    def with_key(self, key: str) -> Session | None:
        """Return the open session with a key."""
        with self._lock:
            return next((s for s in self._open.values() if secrets.compare_digest(s.key.encode(), key.encode())), None)

    def close(self, tab: str) -> None:
        """Close the session of a tab, if it has one."""
        with self._lock:
            session = self._open.pop(tab, None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """Close all sessions."""
        for tab in list(self._open):
            self.close(tab)
