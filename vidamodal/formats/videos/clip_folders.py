"""Data sets with a folder for each clip, in which folders of fixed names hold its frames and its masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vidamodal.formats.base import Clip, VideoContext
from vidamodal.formats.build import unite_visible
from vidamodal.formats.masks.folder_layout import find_layout
from vidamodal.formats.masks.folder_readers import MaskFolder, open_mask_folder
from vidamodal.media.images import is_image
from vidamodal.media.listing import list_folder, list_folders
from vidamodal.media.video import open_video
from vidamodal.types import ClipTracks, Frame, InputError, Track


@dataclass(frozen=True)
class ClipFolders:
    """The names of the folders of a clip."""

    frames: str
    visible: str
    amodal: str | None = None

    def find(self, path: Path) -> dict[str, Path]:
        """Return the folders of clips by name: the path, or folders in it."""
        if not path.is_dir():
            return {}
        if self._is_clip(path):
            return {path.absolute().name: path}
        return {folder.name: folder for folder in list_folders(path) if self._is_clip(folder)}

    def _is_clip(self, folder: Path) -> bool:
        others = [name for name in (self.frames, self.amodal) if name is not None]
        return (folder / self.visible).is_dir() and any((folder / name).is_dir() for name in others)


def read_clips(path: Path, names: ClipFolders, video: VideoContext | None, format_name: str) -> dict[str, Clip]:
    """Return a clip for each folder; its key is the folder's name."""
    readers = {key: _ClipFolder(folder, names, video, format_name) for key, folder in names.find(path).items()}
    return {key: Clip(key, reader.tracks, reader.frames) for key, reader in readers.items()}


@dataclass(frozen=True)
class _ClipFolder:
    """The masks and frames of one clip."""

    folder: Path
    names: ClipFolders
    video: VideoContext | None
    format_name: str

    def tracks(self) -> ClipTracks:
        visible = self._masks(self.names.visible)
        amodal = None if self.names.amodal is None else self._masks(self.names.amodal)
        if visible is None:
            raise InputError(f"{self.folder / self.names.visible}: no masks in this folder; add them")
        video = self._context(amodal or visible)
        seen = visible.read(video)
        whole = None if amodal is None else amodal.read(video)
        tracks = seen.tracks if whole is None else tuple(_joined(seen, whole))
        notes = (*seen.notes, *(() if whole is None else whole.notes))
        return unite_visible(ClipTracks(video.info, tracks, notes=notes), self.format_name)

    def frames(self) -> Iterator[Frame] | None:
        return open_video(self._frames_folder).frames() if self._has_frames() else None

    @property
    def _frames_folder(self) -> Path:
        return self.folder / self.names.frames

    def _has_frames(self) -> bool:
        return self._frames_folder.is_dir() and any(map(is_image, list_folder(self._frames_folder)))

    def _masks(self, name: str) -> MaskFolder | None:
        layout = find_layout(self.folder / name)
        return None if layout is None else open_mask_folder(self.folder / name, layout.content, self.video)

    def _context(self, masks: MaskFolder) -> VideoContext:
        if self.video is not None:
            return self.video
        if self._has_frames():
            reader = open_video(self._frames_folder)
            return VideoContext(reader.info, reader.stems)
        return VideoContext(masks.own_video())


def _joined(seen: ClipTracks, whole: ClipTracks) -> Iterator[Track]:
    """The tracks of visible and amodal masks with the same id; the only object of both has the id 1."""
    visible, amodal = (_by_id(clip, len(seen.tracks) == len(whole.tracks) == 1) for clip in (seen, whole))
    unknown = (None,) * seen.video.frames
    for number in sorted(visible.keys() | amodal.keys()):
        track = visible.get(number, Track(number, unknown))
        yield replace(track, amodal=amodal[number].visible if number in amodal else None)


def _by_id(clip: ClipTracks, is_single: bool) -> Mapping[int, Track]:
    tracks = (replace(track, id=1) if is_single else track for track in clip.tracks)
    return {track.id: track for track in tracks}
