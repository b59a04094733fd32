"""The tasks in a file of CVAT: the description of the video of a task, and the elements that belong to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from vidamodal.formats.annotators.cvat_shapes import integer
from vidamodal.formats.annotators.cvat_xml import Document, Holder, Node
from vidamodal.formats.base import PLAIN_KEY

_STEP = re.compile("step=([1-9][0-9]{0,5})")


@dataclass(frozen=True)
class Task:
    """The annotations of one video, or of one set of images."""

    file: Path
    key: str
    is_only: bool
    """True if the file has no other task."""
    size: tuple[int, int] | None
    """Height and width of a video."""
    start: int
    """Number of the first frame."""
    stop: int | None
    """Number of the last frame."""
    step: int
    """Distance of frames."""
    tracks: Sequence[Holder]
    images: Sequence[Holder]


def find_tasks(file: Path, document: Document) -> list[Task]:
    """Return the tasks of a file: several only in the export of a project.

    Raises:
        FieldError: The description of a task is damaged.
    """
    meta = document.meta
    single, project = meta.find("task") or meta.find("job"), meta.find("project", "tasks")
    nodes = [single] if single else [] if project is None else project.children
    return [_task(file, document, node, is_only=len(nodes) < 2) for node in nodes or [Node("task")]]


def _task(file: Path, document: Document, node: Node, is_only: bool) -> Task:
    key, number = _key(node, document.meta, file, is_only), node.value("id")
    texts = {tag: node.value(tag) for tag in ("size", "start_frame", "stop_frame")}
    known = {tag: integer({tag: text}, tag, f"task {key}: ") for tag, text in texts.items() if text}
    start, stop = known.get("start_frame", 0), known.get("stop_frame", known.get("size", 0) - 1)
    step = _STEP.fullmatch(node.value("frame_filter") or "")
    size = node.find("original_size")
    sides = {} if size is None else {child.tag: "".join(child.pieces).strip() for child in size.children}
    tracks, images = (
        [holder for holder in holders if is_only or holder.attributes.get("task_id") == number]
        for holders in (document.tracks, document.images)
    )
    return Task(
        file=file,
        key=key,
        is_only=is_only,
        size=(integer(sides, "height", "size: "), integer(sides, "width", "size: ")) if sides else None,
        start=start,
        stop=stop if stop >= start else None,
        step=int(step[1]) if step else 1,
        tracks=tracks,
        images=images,
    )


def _key(node: Node, meta: Node, file: Path, is_only: bool) -> str:
    """The name of the task's video, its own, or that of the file, if it is a plain one."""
    source = PurePosixPath(PureWindowsPath(meta.value("source") or "").as_posix()).stem
    own = node.value("name") or ""
    names = (source, own, file.stem) if is_only else (own, f"task-{node.value('id')}")
    return next(filter(PLAIN_KEY.fullmatch, names), "cvat")
