"""Hostile names in archives, annotations, folders and results, through predict, convert and evaluate.

A name from a file must never become a path outside the output, whatever it holds.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import random
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scripts.dev.torture_checks.base import Attempt
from scripts.dev.torture_checks.processes import run_child
from scripts.dev.torture_checks.sandbox import Inputs, changes, listing, renew, write_inputs
from tests.formats.video_data import SCENE, burst, coco_video, youtube_vis
from vidamodal.cli import main as command
from vidamodal.convert import convert
from vidamodal.formats import writable_formats
from vidamodal.tracks import dumps_tracks, read_tracks
from vidamodal.types import ClipTracks

NAME = "names"
TRIED = "hostile names of members, keys, ids, labels, files and links, through predict, convert and evaluate"
PROMISE = "nothing outside the output is written, removed or linked to; written names are plain on every system"
COUNT = 400

OUTSIDE = "OUTSIDE"
"""Stands for a folder beside the output, as an absolute path."""
NAMES = (
    "../evil", "../../../evil", "a/../../../evil", f"{OUTSIDE}/evil", "..", ".", "", " ", "a/b", "/", "~", "~root",
    "..\\..\\evil", "C:\\evil", "C:evil", "\\\\host\\share", "CON", "nul.txt", "com1", "AUX.tracks", "a.", "a ",
    ".hidden", "-rf", "--out", "$(touch evil)", "`touch evil`", "|touch evil", "%2e%2e%2fevil", "%05d", "a:b",
    "http:evil", "pipe:1", "concat:a|b", "file:evil", "\u202elive", "\u2025/evil", "\uff0e\uff0e/evil",
    "\uff0e\uff0e\uff0fevil", "\u2024\u2024/evil", "e\u0301", "\u00e9", "\uff23\uff2f\uff2e", "\ufb01", "\u200b",
    "\U0001f600", "\x1b[2J", "a\nb", "a\rb", "a\0b", "\ud800", "x" * 4096, "x/" * 2000 + "x", "\u00e9" * 200,
    "tracks.json", "manifest.json", "meta.json", "0", "1e3", "<script>alert(1)</script>", '"><img src=x>', "{}", "{0}",
)  # fmt: skip
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Place:
    """The folders of an attempt. Everything lies below ``outer``, and only ``out`` may change."""

    outer: Path
    inputs: Inputs

    @property
    def source(self) -> Path:
        """Where the hostile files lie."""
        return self.outer / "source"

    @property
    def working(self) -> Path:
        """The working folder of the command."""
        return self.outer / "home/user/work"

    @property
    def out(self) -> Path:
        """The output."""
        return self.working / "results/out"


Vector = Callable[[str, _Place], list[list[object]]]
"""Writes hostile files with a name and returns the commands that read them."""


def run(folder: Path, seed: int, count: int) -> Iterator[Attempt]:
    """Try pairs of a name and a place for it, in random order; see `base.Check`."""
    inputs = write_inputs(folder / "inputs")
    pairs = list(itertools.product(VECTORS, NAMES))
    random.Random(seed).shuffle(pairs)
    for vector, name in itertools.islice(itertools.cycle(pairs), count):
        outer = renew(folder / "outer")
        shutil.copytree(folder / "inputs", outer / "inputs")
        place = _Place(outer, Inputs(*(outer / path.relative_to(folder) for path in _paths(inputs))))
        place.source.mkdir()
        place.out.parent.mkdir(parents=True)
        for name_of in ("outside", "tmp"):
            (outer / name_of).mkdir()
        (outer / "outside/kept").write_text("kept")
        case = f"{vector.__name__.strip('_')} {name[:40]!r}"
        yield Attempt(case, _try(vector, name.replace(OUTSIDE, str(outer / "outside")), place, folder / "log"))


def _paths(inputs: Inputs) -> tuple[Path, Path, Path]:
    return inputs.video, inputs.masks, inputs.model


def _try(vector: Vector, name: str, place: _Place, log: Path) -> str | None:
    """Run the commands of a vector and return what was lost."""
    try:
        commands = vector(name, place)
    except (OSError, ValueError):  # the file system or an archive does not hold such a name
        return None
    for arguments in commands:
        is_kept = place.out.exists()
        before = listing(place.outer, place.out)
        ended = run_child(partial(_run_inside, arguments, place), log)
        if changed := changes(before, listing(place.outer, place.out)):
            return f"{arguments[0]} changed {changed[:3]}"
        if ended.fault is not None:
            return ended.fault
        if ended.status not in (0, 2) or (ended.status == 2 and len(ended.lines) != 1):
            return f"{arguments[0]} exits with {ended.status}: {' / '.join(ended.lines)[:300]}"
        if odd := _odd_names(place.out):
            return f"{arguments[0]} wrote {odd!r}"
        if not is_kept:
            shutil.rmtree(place.out, ignore_errors=True)
    return None


def _run_inside(arguments: list[object], place: _Place) -> int | None:
    os.chdir(place.working)
    os.environ.update(HOME=str(place.outer / "home"), TMPDIR=str(place.outer / "tmp"))
    command([str(argument) for argument in arguments])


def _odd_names(out: Path) -> str | None:
    """Return a name below a folder that not every system can hold, or None."""
    for path in out.rglob("*"):
        if not PLAIN.fullmatch(path.name) or RESERVED.fullmatch(path.name) or len(path.name) > 255:
            return path.name
    return None


def _convert_all(source: Path, place: _Place) -> list[list[object]]:
    """Return conversions into a few formats of each kind, and an evaluation."""
    written = [["convert", source, "--to", form, "--out", place.out] for form in sorted(writable_formats())]
    return [*written, *_evaluate(source, place)]


def _evaluate(source: Path, place: _Place) -> list[list[object]]:
    out = ["--out", place.out / "metrics.json", "--report", place.out / "report.html"]
    return [["evaluate", "--pred", source, "--truth", source, *out]]


def _tar(path: Path, members: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            member.size = len(content) if isinstance(content, bytes) else 0
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def _scene(**changes: Any) -> bytes:
    """Return a tracks.json with these changes."""
    return json.dumps(json.loads(dumps_tracks(SCENE)) | changes).encode()


def _masks(place: _Place, label: str) -> ClipTracks:
    """Return the masks of the input video with a label."""
    clip = read_tracks(place.inputs.masks)
    return replace(clip, tracks=tuple(replace(track, label=label) for track in clip.tracks))


def _member_of_a_shard(name: str, place: _Place) -> list[list[object]]:
    members: dict[str, bytes | tarfile.TarInfo] = {
        f"{name}.tracks.json": _scene(),
        f"{name}.mp4": b"",
        "other.tracks.json": _scene(),
    }
    return _convert_all(_tar(place.source / "a.tar", members), place)


def _link_in_a_shard(name: str, place: _Place) -> list[list[object]]:
    links: dict[str, bytes | tarfile.TarInfo] = {"a.tracks.json": _scene()}
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
        link = tarfile.TarInfo(f"link{kind.decode()}.tracks.json")
        link.type, link.linkname = kind, name
        links[link.name] = link
    return _convert_all(_tar(place.source / "a.tar", links), place)


def _shard_as_masks(name: str, place: _Place) -> list[list[object]]:
    shard = _tar(place.source / "a.tar", {f"{name}.tracks.json": dumps_tracks(_masks(place, name)).encode()})
    return [place.inputs.predict(place.out, "--masks", shard)]


def _label_and_path(name: str, place: _Place) -> list[list[object]]:
    document = json.loads(dumps_tracks(SCENE))
    for track in document["tracks"]:
        track["label"] = name
    document["video"]["path"] = name
    document["provenance"] = {name: name}
    path = place.source / "a.tracks.json"
    path.write_text(json.dumps(document))
    return _convert_all(path, place)


def _label_in_a_prediction(name: str, place: _Place) -> list[list[object]]:
    document = json.loads(dumps_tracks(_masks(place, name)))
    document["video"]["path"] = name
    path = place.source / "a.tracks.json"
    path.write_text(json.dumps(document))
    formats = "tracks,png,overlay,masks,rgba,layers"
    return [place.inputs.predict(place.out, "--masks", path, "--formats", formats)]


def _id_of_a_track(name: str, place: _Place) -> list[list[object]]:
    document = json.loads(dumps_tracks(SCENE))
    document["tracks"][0]["id"] = name
    (place.source / "a.tracks.json").write_text(json.dumps(document))
    return _convert_all(place.source / "a.tracks.json", place)


def _names_in_annotations(name: str, place: _Place) -> list[list[object]]:
    youtube, coco, tao = youtube_vis(), coco_video(), burst()
    youtube["videos"][0]["file_names"] = [f"{name}/{k}.jpg" for k in range(3)]
    coco["videos"][0]["name"] = tao["sequences"][0]["seq_name"] = tao["sequences"][0]["dataset"] = name
    for image in coco["images"]:
        image["file_name"] = f"{name}/{image['frame_id']}.jpg"
    commands: list[list[object]] = []
    for form, document in (("youtube", youtube), ("coco", coco), ("burst", tao)):
        document["categories"] = [{"id": 4, "name": name}]
        path = place.source / f"{form}.json"
        path.write_text(json.dumps(document))
        commands += [
            ["convert", path, "--to", to, "--out", place.out] for to in ("davis", "shards", "cvat", "fiftyone", "mots")
        ]
        commands += _evaluate(path, place)
    return commands


def _key_of_a_record(name: str, place: _Place) -> list[list[object]]:
    """The key in the record that written formats carry."""
    (place.source / "plain").mkdir()
    (place.source / "plain/clip.tracks.json").write_bytes(_scene())
    commands: list[list[object]] = []
    for form in ("davis", "cvat", "label-studio", "mots", "coco"):
        path = place.source / form
        convert(place.source / "plain", path, form)
        for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
            text = file.read_bytes()
            for old in (b'"key": "clip"', b'"key":"clip"', b"&quot;key&quot;: &quot;clip&quot;"):
                text = text.replace(old, old.replace(b"clip", json.dumps(name)[1:-1].encode()))
            file.write_bytes(text)
        commands += [["convert", path, "--to", to, "--out", place.out] for to in ("sav", "tracks", "shards")]
    return commands


def _array_of_an_npz(name: str, place: _Place) -> list[list[object]]:
    array = io.BytesIO()
    np.save(array, np.ones((14, 96, 96), dtype=np.uint8))
    path = place.source / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.npy", array.getvalue())
    return [["convert", path, "--to", "davis", "--out", place.out], place.inputs.predict(place.out, "--masks", path)]


def _folder_of_a_clip(name: str, place: _Place) -> list[list[object]]:
    if name.count("/") > 100:
        raise ValueError("deeper than Python can list and remove; `videos` has a folder that is 500 deep")
    for path in (place.source / name, place.source / "other"):
        path.mkdir(parents=True)
        (path / "tracks.json").write_bytes(_scene())
    return _convert_all(place.source, place)


def _folder_of_an_object(name: str, place: _Place) -> list[list[object]]:
    path = place.source / "masks"
    convert(place.inputs.masks, path, "sav")
    inner = next(each for each in path.rglob("*") if each.is_dir() and any(each.glob("*.png")))
    inner.rename(inner.with_name(name))
    return [["convert", path, "--to", "davis", "--out", place.out], place.inputs.predict(place.out, "--masks", path)]


def _name_of_a_video(name: str, place: _Place) -> list[list[object]]:
    folder = place.source / "videos"
    folder.mkdir()
    video = Path(shutil.copy(place.inputs.video, folder / f"{name}.mp4"))
    return [["predict", video, *place.inputs.predict(place.out)[2:]]]


def _link_in_the_output(name: str, place: _Place) -> list[list[object]]:
    """Links in the output to files and a folder outside it, with the names that predict writes."""
    outside = place.outer / "outside"
    place.out.mkdir()
    (outside / "folder").mkdir()
    (outside / "folder/00000.png").write_text(name[:20].encode(errors="ignore").hex())
    for entry in ("run.json", "tracks.json", "overlay.mp4"):
        (place.out / entry).symlink_to(outside / "kept")
    (place.out / "amodal").symlink_to(outside / "folder")
    return [
        place.inputs.predict(place.out, "--formats", formats) for formats in ("tracks,overlay", "tracks,png,overlay")
    ]


def _files_of_an_earlier_run(name: str, place: _Place) -> list[list[object]]:
    """The list of files in an earlier run.json, which are removed by the next prediction."""
    place.out.mkdir()
    (place.outer / "home/user/evil").write_text("kept")
    record = {"files": [name, "../../evil", "../../../evil", str(place.outer / "outside/kept"), "amodal/../../x"]}
    (place.out / "run.json").write_text(json.dumps(record))
    return [place.inputs.predict(place.out, "--formats", "tracks")]


VECTORS: tuple[Vector, ...] = (
    _member_of_a_shard, _link_in_a_shard, _shard_as_masks, _label_and_path, _label_in_a_prediction, _id_of_a_track,
    _names_in_annotations, _key_of_a_record, _array_of_an_npz, _folder_of_a_clip, _folder_of_an_object,
    _name_of_a_video, _link_in_the_output, _files_of_an_earlier_run,
)  # fmt: skip
