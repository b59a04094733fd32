"""`vidamodal.predict_videos`: many videos in, a folder of results and the manifest of all outcomes out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import Any

from tqdm import tqdm

from vidamodal.batch.companions import add_companions
from vidamodal.batch.manifest import FAILURES, WAITING, Entry, Manifest, Part, earlier_entries, remove_parts
from vidamodal.batch.processes import ExecutorKind
from vidamodal.batch.video_job import BatchSettings, describe_result, failure, predict_video, prepare
from vidamodal.batch.video_set import BatchVideo, CompanionKind, VideoSet, find_videos
from vidamodal.batch.workers import Call, Pool, open_pool
from vidamodal.inference.depth.depth_model import DEFAULT_DEPTH
from vidamodal.media.files import check_target
from vidamodal.types import InputError

PathLike = str | os.PathLike[str]
_INPUTS = "inputs_hash"
"""Key of the hash of a video's inputs in its entry."""


@dataclass(frozen=True)
class BatchResult:
    """Outcomes of a batch."""

    manifest: Path
    """The file that lists all outcomes."""
    entries: Mapping[str, Entry]
    """The outcome of each video by key, as in the manifest."""
    resumed: int
    """Number of videos whose results were complete before."""
    notes: tuple[str, ...]
    """How the videos were found and their inputs matched, one line each."""

    @property
    def failures(self) -> dict[str, str]:
        """The error of each video that failed, by key."""
        return {key: entry["error"] for key, entry in self.entries.items() if entry["outcome"] in FAILURES}

    @property
    def status(self) -> int:
        """0 if all videos succeeded, 2 if the input of some was bad, 1 if the disk or the program failed for any."""
        outcomes = {entry["outcome"] for entry in self.entries.values()}
        return 1 if "failed" in outcomes else 2 if "bad input" in outcomes else 0


def predict_videos(
    videos: PathLike,
    masks: PathLike | None = None,
    out: PathLike = "predictions",
    *,
    points: PathLike | None = None,
    boxes: PathLike | None = None,
    order: PathLike | None = None,
    depth: PathLike | bool | None = None,
    anchors: PathLike | None = None,
    workers: int | None = None,
    shard: str | None = None,
    executor: ExecutorKind = "local",
    quiet: bool = True,
    **settings: Any,
) -> BatchResult:
    """Predict the amodal masks of many videos, each into ``out/<key>``.

    The results are those of `predict`, and the same whatever the number of workers. A video that fails does not stop
    the others. A video is skipped if its result is complete, has the same settings and inputs and is newer than the
    inputs, so the same call continues an interrupted one.

    Args:
        videos: A .txt file with the path of a video in each line, a folder of videos or of folders of frames, or a
            data set in any supported format.
        masks: A folder with the masks of each video, in entries of the videos' keys, or a data set with a clip for each
            video. By default the masks of the data set are used; without any, the objects are detected.
        out: The folder of the results and of manifest.json.
        points: A folder with the points of each video: see `predict`.
        boxes: A folder with the boxes of each video.
        order: A folder with the order of each video.
        depth: A folder with the depth maps of each video, or a depth model; True for the default one.
        anchors: A folder with the anchors of some of the videos.
        workers: Number of processes, each with one thread (and one GPU, if there are any). None for 1, or with Ray for
            as many as the cluster has GPUs or else CPUs.
        shard: "i/n" for every n-th video from video i on, to divide the work among machines that share ``out``. Its
            outcomes are in manifest-i-of-n.json; a last call without it writes manifest.json.
        executor: "local" for processes of this machine, "ray" for a Ray cluster whose machines see the same files.
        quiet: Show no progress bar.
        settings: Further arguments of `predict`, for all videos: detect, text, sam, detector, diffsp, model, head,
            device, seed, hypotheses, formats, exhaustive, depth_kind and offline.

    Returns:
        The outcome of every video.

    Raises:
        InputError: If videos, inputs or settings are wrong before any video is predicted. Nothing is written then.
    """
    part, out = Part() if shard is None else Part.parse(shard), Path(out).absolute()
    paths: dict[CompanionKind, PathLike | None] = {"masks": masks, "points": points, "boxes": boxes, "order": order}
    paths |= {"anchors": anchors}
    depth = DEFAULT_DEPTH if depth is True else None if depth is False else depth
    shared = depth if depth is not None and _is_depth_model(depth) else None
    paths |= {"depth": None if shared is not None else depth}
    found = _find(videos, paths, settings.get("detect") or settings.get("text"))
    _check_out(out, found, paths)
    chosen = _settings(settings, found, None if shared is None else str(shared))
    jobs = found.videos[part.index :: part.count]
    with open_pool(executor, workers, needs_gpu=chosen.device != "cpu") as pool:
        identity: dict[str, Any] = pool.prepare(partial(prepare, chosen), len(jobs))
        entries, differ = earlier_entries(out, identity)
        states = {path: _FileState.of(path) for path in {path for video in jobs for path in video.paths}}
        complete = _complete_entries(jobs, out, entries, states)
        notes = [*found.notes, *pool.notes]
        if differ:
            notes.append(f"{out.name}: holds results of other settings, which are replaced")
        out.mkdir(parents=True, exist_ok=True)
        manifest = Manifest(out / part.file_name, identity, {v.key: complete.get(v.key, WAITING) for v in jobs})
        calls = {v.key: partial(predict_video, chosen, v, out) for v in jobs if v.key not in complete}
        _run(pool, calls, {video.key: _hash_inputs(video, states) for video in jobs}, manifest, quiet)
    if part.count == 1:
        remove_parts(out)
    return BatchResult(manifest.path, manifest.entries, len(complete), tuple(notes))


def _find(videos: PathLike, paths: Mapping[CompanionKind, PathLike | None], finds: object) -> VideoSet:
    given = [kind for kind in ("masks", "points", "boxes") if paths[kind] is not None]
    found = find_videos(videos, own_masks=not given and not finds)
    if found is None:
        raise InputError(f"{videos}: no folder of videos, list of videos or data set. Pass one, or predict one video.")
    return add_companions(found, paths)


def _is_depth_model(depth: PathLike) -> bool:
    """True for the folder of a model, and for a name that is no folder."""
    return not Path(depth).exists() or (Path(depth) / "config.json").is_file()


def _check_out(out: Path, videos: VideoSet, paths: Mapping[CompanionKind, PathLike | None]) -> None:
    """Check that results do not mix with what is read."""
    check_target(out, folder=True)
    given = [Path(path).absolute() for path in paths.values() if path is not None]
    for path in (videos.path, *given):
        if path.is_dir() and path.resolve() in (out.resolve(), *out.resolve().parents):
            raise InputError(f"{out}: lies in {path}, which is read. Pass another out=.")
    if reserved := [key for key in videos.keys if key.startswith("manifest") and key.endswith(".json")]:
        raise InputError(f"{reserved[0]}: a video cannot have the name of the manifest. Rename it.")


def _settings(values: Mapping[str, Any], videos: VideoSet, depth: str | None) -> BatchSettings:
    known = {field.name for field in fields(BatchSettings)} - {"depth", "companions"}
    if unknown := sorted(values.keys() - known):
        raise TypeError(f"predict_videos() got an unexpected argument {unknown[0]!r}")
    kinds = sorted(set(chain.from_iterable(video.companions for video in videos.videos)))
    formats = {"formats": tuple(values["formats"])} if "formats" in values else {}
    networks = {
        name: _absolute(values[name]) for name in ("detect", "sam", "detector", "diffsp", "model") if name in values
    }
    chosen = {**values, **formats, **networks, "depth": _absolute(depth)}
    return BatchSettings(**chosen, companions=tuple(kinds))


@dataclass(frozen=True)
class _FileState:
    """What tells whether a file or folder is as it was."""

    changed: float
    """Time of the last change of the file, or of anything in the folder; infinite if it does not exist."""
    content: str
    """Hash of the names of the files, from the folder on that holds the path, and of their sizes."""

    @staticmethod
    def of(path: Path) -> _FileState:
        """Return the present state."""
        try:
            found = [(each, each.stat()) for each in (path, *sorted(path.rglob("*")))]
        except OSError:
            return _FileState(float("inf"), "")
        files = [(each, state.st_size) for each, state in found if S_ISREG(state.st_mode)]
        names = [(each.relative_to(path.parent.parent).as_posix(), size) for each, size in files]
        return _FileState(max(state.st_mtime for _, state in found), _hash(names))


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()


def _hash_inputs(video: BatchVideo, states: Mapping[Path, _FileState]) -> str:
    """Return a hash of the names and sizes of the files that a result depends on, wherever they lie."""
    return _hash([states[path].content for path in video.paths])


def _complete_entries(
    videos: Sequence[BatchVideo], out: Path, entries: Mapping[str, Entry], states: Mapping[Path, _FileState]
) -> dict[str, Entry]:
    """Return the entries of the results that are as they were recorded, and newer than everything they depend on."""
    complete: dict[str, Entry] = {}
    for video in videos:
        folder, entry = out / video.key, entries.get(video.key)
        result = None if entry is None else describe_result(folder)
        if entry is None or result is None or {**result, _INPUTS: _hash_inputs(video, states)} != entry:
            continue
        if max(states[path].changed for path in video.paths) <= (folder / "run.json").stat().st_mtime:
            complete[video.key] = entry
    return complete


def _absolute(value: Any) -> Any:
    """A path that exists, as every process of this machine sees it."""
    return str(Path(value).absolute()) if isinstance(value, str) and Path(value).exists() else value


def _run(pool: Pool, calls: Mapping[str, Call], inputs: Mapping[str, str], manifest: Manifest, quiet: bool) -> None:
    """Predict the videos and record their outcomes, with the hashes of their inputs."""
    manifest.write()
    total = len(manifest.entries)
    try:
        with tqdm(total=total, initial=total - len(calls), desc="predict", unit="video", disable=quiet) as bar:
            for key, outcome in pool.map(list(calls.items())):
                entry = failure(outcome) if isinstance(outcome, Exception) else {**outcome, _INPUTS: inputs[key]}
                manifest.record(key, entry)
                if entry["outcome"] in FAILURES:
                    bar.set_postfix(failed=manifest.failures, refresh=False)
                bar.update()
    finally:
        manifest.write()
