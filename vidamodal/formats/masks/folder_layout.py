"""Where the masks of one or more videos lie in a folder, and whether its folders are videos or objects.

- ``Annotations*/<video>/`` (DAVIS, YouTube-VOS, SA-V), optionally with a folder such as ``480p`` in between;
- the folder of one video: masks, or a folder of masks for each object;
- a folder with the folders of several videos.

A plain folder with several folders of masks may hold the objects of one video, or several videos. Masks with more than
one object in an image are those of videos. If all show one object, folders named by numbers are objects. Otherwise the
folders are objects if a video was passed. Without one, they are refused if every name contains a number (obj_1,
002_dog), and read as videos (reported) if not. Folders of frames beside folders of masks are left out, and reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from vidamodal.formats.annotation_files import errors_in
from vidamodal.formats.base import Fit, VideoContext
from vidamodal.formats.masks.frame_files import mask_files
from vidamodal.media.image_kinds import kinds_of, split_numbers
from vidamodal.media.images import image_errors, is_image, open_image
from vidamodal.media.listing import list_folder, list_folders
from vidamodal.media.pixel_values import read_id_maps
from vidamodal.media.video import FOLDER_FPS
from vidamodal.tracks.check import check_video
from vidamodal.types import InputError, VideoInfo

SIZES = ("480p", "Full-Resolution", "1080p", "")
"""Folders of image sizes between the folder of a data set and those of its videos."""
_SAMPLED_FOLDERS = 20
_GREY = 12
"""Largest difference of the channels of a grey pixel, which compression may change."""

Content = Literal["maps", "objects"]
"""The folder of a video holds maps of ids, or a folder of masks for each object."""


@dataclass(frozen=True)
class FolderLayout:
    """The folders of masks under a path."""

    fit: Fit
    content: Content
    videos: Mapping[str, Path]
    """The folders of videos, by name."""
    objects: tuple[Path, ...] = ()
    """Folders that are the objects of one video if the video is known, and else perhaps the videos."""
    left_out: tuple[str, ...] = ()
    """Names of folders that hold other images."""

    def notes(self, path: Path) -> tuple[str, ...]:
        """Return what was assumed about the folders under a path, one line each."""
        notes = []
        if self.left_out:
            notes.append(f"{path.name}: the folders {', '.join(self.left_out[:5])} hold no masks and are skipped")
        if self.objects and self.content == "maps":
            names = ", ".join(folder.name for folder in self.objects[:5])
            notes.append(
                f"{path.name}: {len(self.objects)} folders read as videos ({names}); if they are the objects of one "
                "video, pass the video"
            )
        return tuple(notes)


def find_layout(path: Path) -> FolderLayout | None:
    """Return the layout of the masks under a path; None if there are none."""
    if not path.is_dir() or holds_tracks(path):
        return None
    parts = [folder for folder in list_folders(path) if folder.name.startswith("Annotations")]
    for root in (part / size for part in parts for size in SIZES):
        if root.is_dir() and (layout := _videos_in(root)) is not None:
            return replace(layout, fit=Fit.CERTAIN)
    images = [entry for entry in list_folder(path) if is_image(entry)]
    if images:
        name = path.absolute().name
        return FolderLayout(_fit_of_images(images), "maps", {name: path})
    return _plain_folders(path)


def with_video(layout: FolderLayout, path: Path, video: VideoContext | None) -> FolderLayout:
    """Return the layout with folders taken for videos or for objects.

    Raises:
        InputError: It is not clear which they are.
    """
    if not layout.objects:
        return layout
    if video is None:
        if layout.content == "maps":
            return layout
        names = " and ".join(folder.name for folder in layout.objects[:2])
        raise InputError(
            f"{path}: the folders {names} may be objects of one video or several videos. Pass the video as well, or "
            "move folders of videos into a folder Annotations"
        )
    own = Path(video.info.path).stem
    if any(folder.name == own for folder in layout.objects):
        raise InputError(f"{path}: the folder {own} is named like the video; pass this folder alone")
    return FolderLayout(layout.fit, "objects", {path.absolute().name: path}, left_out=layout.left_out)


def holds_tracks(path: Path) -> bool:
    """Return True for an output folder of predict, which has folders of masks beside its tracks.json."""
    return any(entry.name.endswith("tracks.json") for entry in list_folder(path))


def has_masks(folder: Path) -> bool:
    """Return True if a folder directly holds PNGs, or other images in shades of grey."""
    images = [entry for entry in folder.iterdir() if is_image(entry)]
    if any(image.suffix.lower() == ".png" for image in images):
        return True
    return bool(images) and _is_grey(sorted(images)[len(images) // 2])


def _is_grey(path: Path) -> bool:
    """True for an image in shades of grey, also in three channels."""
    try:
        with image_errors(path), open_image(path) as image:
            image.draft("RGB", (64, 64))
            return int(np.ptp(np.asarray(image.convert("RGB")).astype(int), axis=2).max()) <= _GREY
    except InputError:  # damaged: refused when it is read
        return False


def mask_folders(path: Path) -> tuple[list[Path], list[Path]]:
    """Split subfolders into those with masks and those with other images."""
    folders = [folder for folder in list_folders(path) if has_masks(folder)]
    stored = [folder for folder in folders if _are_masks(list(filter(is_image, folder.iterdir())))]
    return (stored, [folder for folder in folders if folder not in stored]) if stored else (folders, [])


def _are_masks(images: Sequence[Path]) -> bool:
    """True if some kind of images is stored as masks are."""
    try:
        return any(kind.is_stored_as_masks() for kind in kinds_of(images))
    except InputError:  # damaged: refused when it is read
        return False


def _fit_of_images(images: Sequence[Path]) -> Fit:
    numbered = [image for image in images if image.suffix.lower() == ".png" and image.stem.isdecimal()]
    return Fit.CERTAIN if numbered and _are_masks(numbered) else Fit.POSSIBLE


def _videos_in(root: Path) -> FolderLayout | None:
    """The layout of a folder that holds nothing but folders of videos."""
    folders, others = mask_folders(root)
    nested = [f for f in list_folders(root) if f not in folders + others and any(map(has_masks, list_folders(f)))]
    if not folders and not nested:
        return None
    content: Content = "maps" if folders else "objects"
    left_out = tuple(folder.name for folder in (*others, *nested) if folders)
    return FolderLayout(Fit.POSSIBLE, content, {f.name: f for f in folders or nested}, left_out=left_out)


def _plain_folders(path: Path) -> FolderLayout | None:
    """The layout of a folder of folders, which may be videos or objects."""
    layout = _videos_in(path)
    if layout is None or layout.content == "objects":
        return layout
    folders, left_out = layout.videos, layout.left_out
    numbers_alone = all(name.isdecimal() and name.isascii() for name in folders)
    if not _show_one_object(list(folders.values())) or (len(folders) == 1 and not numbers_alone):
        return layout
    if numbers_alone:
        return FolderLayout(Fit.CERTAIN, "objects", {path.absolute().name: path}, left_out=left_out)
    if all(split_numbers(name)[1] for name in folders):
        own = {path.absolute().name: path}
        return FolderLayout(Fit.POSSIBLE, "objects", own, tuple(folders.values()), left_out)
    return FolderLayout(Fit.POSSIBLE, "maps", folders, tuple(folders.values()), left_out)


def _show_one_object(folders: Sequence[Path]) -> bool:
    """True if the sampled images of each folder show one object at most."""
    for folder in folders[:_SAMPLED_FOLDERS]:
        try:
            files = mask_files(folder)[0]
            sampled = {place: files[place] for place in (0, len(files) // 2, len(files) - 1)}
            maps = read_id_maps(sampled, image_video(files[0]), folder).maps
            if len({number for _, ids in maps for number in np.unique(ids).tolist()} - {0}) > 1:
                return False
        except InputError:  # refused when it is read
            continue
    return True


def image_video(image: Path, name: str | None = None, frames: int = 1) -> VideoInfo:
    """Return a video of the size of an image, by default of one frame and with the image's name."""
    with open_image(image) as opened:
        width, height = opened.size
    video = VideoInfo(image.name if name is None else name, height, width, frames, FOLDER_FPS)
    with errors_in(image):
        check_video(video)
    return video
