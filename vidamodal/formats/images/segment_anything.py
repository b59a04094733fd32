"""The JSON of a single image, as SA-1B (Kirillov et al., 2023) and the demos of Grounded-SAM-2 write it. Read only.

- SA-1B: ``image`` (image_id, width, height, file_name) and ``annotations`` with ``segmentation`` in run lengths.
- Grounded-SAM-2: ``image_path``, ``img_width``, ``img_height`` and ``annotations`` with ``segmentation`` and
  ``class_name``, the label.

Each file is a clip of one frame whose key is the file's name; a folder may hold many. Its objects are tracks from 1 on,
in the file's order. With a video, a single file is the mask of one frame, found by the number in the image's name;
several files need track ids. Scores are not read. The kind of the masks is not stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from vidamodal.formats.annotation_files import Record, errors_in
from vidamodal.formats.base import Clip, Fit, VideoContext, certain_if
from vidamodal.formats.json_layouts import Layout, json_files, load_json, match_files
from vidamodal.formats.videos.coco import read_coco
from vidamodal.media.json_records import check_type, optional, required, required_integer
from vidamodal.types import ClipTracks, Frame

ID = "sa-1b"
NAME = "SA-1B or Grounded-SAM-2"
_MAX_LABEL = 200
SIGN = 'a JSON with "annotations" and "image" or "image_path", or a folder of such files'


def recognise(path: Path) -> Fit:
    """Match a file with ``annotations`` and ``image`` or ``image_path``, or a folder with some in it."""
    return match_files(path, ID, _fit)[0]


def _fit(layout: Layout) -> Fit:
    has_image = "image" in layout.keys or layout.keys >= {"image_path", "img_width", "img_height"}
    return certain_if(has_image and "images" not in layout.keys and layout.has("annotations", "segmentation"))


def read(path: Path, video: VideoContext | None = None) -> Mapping[str, Clip]:
    """Return a clip for each file, or one for the video; its key is the name of the file."""
    files = json_files(path)
    if video is None:
        return {file.stem: Clip(file.stem, partial(_tracks, file), partial(_frames, file), False) for file in files}
    document = _joined([_document(file) for file in files])
    return read_coco(files[0] if len(files) == 1 else path, document, video)


def _clip(file: Path) -> Clip:
    (clip,) = read_coco(file, _document(file), None).values()
    return clip


def _tracks(file: Path) -> ClipTracks:
    return _clip(file).tracks()


def _frames(file: Path) -> Iterator[Frame] | None:
    return _clip(file).frames()


def _document(file: Path) -> Record:
    """The content of a file in COCO's layout; the id of the image is the file's name."""
    with errors_in(file):
        content = check_type(load_json(file), dict, "its content")
        image = required(content, "image", dict) if "image" in content else content
        prefix = "" if "image" in content else "img_"
        height, width = (required_integer(image, f"{prefix}{side}") for side in ("height", "width"))
        name = optional(image, "file_name" if "image" in content else "image_path", str) or file.name
        annotations = [
            {
                **check_type(record, dict, f"annotations[{k}]"),
                "image_id": file.stem,
                **_category(record, f"annotations[{k}]."),
            }
            for k, record in enumerate(required(content, "annotations", list))
        ]
    images = [{"id": file.stem, "height": height, "width": width, "file_name": name}]
    names = dict.fromkeys(record["category_id"] for record in annotations if record.get("category_id"))
    return {"images": images, "annotations": annotations, "categories": [{"id": n, "name": str(n)} for n in names]}


def _category(record: Record, where: str) -> Record:
    name = optional(record, "class_name", str, where)
    return {"category_id": name[:_MAX_LABEL]} if name else {"category_id": None}


def _joined(documents: Sequence[Record]) -> Record:
    joined: Record = {"images": [], "annotations": [], "categories": []}
    for document in documents:
        for key, entries in joined.items():
            entries += document[key]
    return joined
