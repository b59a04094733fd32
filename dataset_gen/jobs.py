"""Running a data set: a process for each scene, resumable, the same files however many workers and machines make them.

While a run lasts, ``OUT/.work`` holds its settings, its locks and its finished scenes. A scene appears there whole, by
a rename, so running the same command again makes what is missing. The finished files move from there to OUT, the
manifest last. Several parts of a run (``--shard``) may share one OUT: each makes whole shards, and the one that finds
all of them there writes the manifest. The same command may also run several times at once: whoever has locked a scene
makes it, the others make others, and a scene whose process was killed is free again.
Workers see no file of OUT: they return what they make, and the process that ordered it writes and locks.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from platform import node
from typing import Any

from tqdm import tqdm

from dataset_gen.executors import open_executor
from dataset_gen.library import OFFLINE, Library, borrow_library
from dataset_gen.locks import Locks, scratch_folder
from dataset_gen.sample import sample_scene
from dataset_gen.steer import steer
from dataset_gen.timing import Stopwatch, summary
from dataset_gen.truth import GENERATOR, meshes_of, rendered_truth, truth_versions
from dataset_gen.write import (
    all_versions,
    scene_key,
    scene_line,
    write_manifest,
    write_scene,
    write_shard,
    write_worlds,
)
from vidamodal.media.files import atomic_folder, write_text
from vidamodal.types import InputError
from vidamodal.worlds.spec import SceneSpec
from vidamodal.worlds.truth import scene_depth

SHARD_SCENES = 16
_SETTLED_IN_ONE_PROCESS = 8
_PATIENCE = 0.5
"""Seconds between two looks at what others are making."""

_FINISHING = 0
"""The lock of whoever moves files to OUT; the lock of scene k is 1 + k."""


@dataclass(frozen=True)
class Run:
    """What is made: scene k of ``scenes`` has the seed ``seed + k``. Equal runs give equal files."""

    scenes: int
    seed: int
    split: str
    preset: str
    size: int
    frames: int
    samples: int
    masks_only: bool
    generator: int = GENERATOR
    depth: bool = False
    assets: str = OFFLINE.identity
    """The identity of the library that scenes are made of; ``manifests`` are where it lies."""
    manifests: tuple[str, ...] = ()
    hidden: tuple[float, ...] = ()
    """The histogram of hidden shares that cameras are chosen for (``dataset_gen.steer``); none: as it falls."""
    canvas: int = 0
    """Pixels beyond the image's borders that amodal masks are told for as well."""

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.scenes)

    def shards(self) -> dict[str, range]:
        """The seeds of each shard by its file name."""
        starts = range(0, self.scenes, SHARD_SCENES)
        return {f"{self.split}-{k:06d}.tar": self.seeds[start : start + SHARD_SCENES] for k, start in enumerate(starts)}

    def settings(self) -> dict[str, Any]:
        """As JSON, without paths and without newer fields that have their default, so that older folders stay equal."""
        optional = {field.name: field.default for field in fields(self) if field.name != "generator"}
        values = {name: value for name, value in asdict(self).items() if name != "manifests"}
        return json.loads(json.dumps({k: v for k, v in values.items() if v != optional.get(k, MISSING)}))


@dataclass(frozen=True)
class Outcome:
    """Whether the folder is finished, and a line on where the time went if scenes were rendered."""

    finished: bool
    timing: str | None = None


@dataclass(frozen=True)
class Made:
    """What a worker returns: a scene's files by name, and CPU-seconds by step (``Stopwatch``)."""

    files: Mapping[str, bytes]
    seconds: Mapping[str, float]


def generate(
    run: Run,
    out: Path,
    workers: int | None = None,
    part: tuple[int, int] = (0, 1),
    quiet: bool = False,
    executor: str = "local",
) -> Outcome:
    """Make, or go on making, a run's files in the folder ``out``; ``part`` (i, n) makes every n-th shard from the i-th.

    With several parts the folder is finished when the last of them ends. ``executor`` and ``workers`` are those of
    ``open_executor``. Raises InputError if ``out`` holds something else, RuntimeError if a worker dies.
    """
    work = _enter(run, out)
    if work is None:
        return Outcome(True)
    watch = Stopwatch()
    try:
        with watch("own"):
            rendered = work.make(part, workers, quiet, executor, watch)
            finished = work.finish(part)
    finally:
        work.locks.close()
    return Outcome(finished, summary(rendered, run.frames, watch.seconds) if rendered else None)


def _enter(run: Run, out: Path) -> _Work | None:
    """The folder that the run is made in; None if it is finished. InputError if ``out`` holds anything else."""
    folder = out / ".work"
    while not _finished(run, out):
        known = (folder / "run.json").exists()
        if not known and out.exists() and (not out.is_dir() or any(path != folder for path in out.iterdir())):
            if (out / "manifest.json").exists():
                continue  # another process has just finished it
            raise InputError(f"{out}: holds something else; give a new or empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            work = _Work(run, out, folder, Locks(folder / "locks"))
        except FileNotFoundError:
            continue  # the same
        if work.begin():
            return work
        work.locks.close()
    return None


def _finished(run: Run, out: Path) -> bool:
    """Whether ``out`` holds this run complete; InputError if it holds another."""
    manifest = out / "manifest.json"
    if not manifest.exists():
        return False
    _same_run(run, _settings(manifest).get("run"), out)
    shutil.rmtree(out / ".work", ignore_errors=True)
    return True


@dataclass(frozen=True)
class _Work:
    """A run on its way."""

    run: Run
    out: Path
    folder: Path
    locks: Locks

    def begin(self) -> bool:
        """Note what is made here; False if another process has finished it and removed the folder."""
        settings = self.folder / "run.json"
        with self.locks.held(_FINISHING):
            if self.locks.lost or (self.out / "manifest.json").exists():
                return False
            if settings.exists():
                _same_run(self.run, _settings(settings), self.out)
            else:
                write_text(settings, json.dumps(self.run.settings()) + "\n")
        return True

    def scene(self, seed: int) -> Path:
        """Where a scene stands when it is made: a folder of its files, or the line of a mask-only world."""
        key = scene_key(self.run.split, seed)
        return self.folder / (f"{key}.json" if self.run.masks_only else key)

    def missing(self, part: tuple[int, int]) -> dict[Path, range]:
        """The seeds of each shard of a part that is not in OUT yet."""
        shards = {self.out / name: seeds for name, seeds in self.run.shards().items()}
        return {path: shards[path] for path in list(shards)[part[0] :: part[1]] if not path.exists()}

    def make(self, part: tuple[int, int], workers: int | None, quiet: bool, executor: str, watch: Stopwatch) -> int:
        """Make the scenes of a part, or see others make them; returns how many were rendered here."""
        masks_only = self.run.masks_only
        seeds = self.run.seeds if masks_only else [k for seeds in self.missing(part).values() for k in seeds]
        waiting = deque(seed for seed in seeds if not self.scene(seed).exists())
        if not waiting:
            return 0
        versions = _versions(self.run)
        rendered = 0
        jobs: dict[Future[list[Made]], list[int]] = {}
        bar = tqdm(total=len(seeds), initial=len(seeds) - len(waiting), unit="scene", disable=quiet)
        with bar, open_executor(executor, workers) as pool:
            while waiting or jobs:
                while len(jobs) < pool.workers and (claimed := self._claim(waiting)):
                    jobs[pool.submit(make_scenes, self.run, claimed, versions)] = claimed
                idle = len(jobs) < pool.workers  # all that is left is in other processes' hands
                for job in _ended(jobs, _PATIENCE if waiting and idle else None):
                    for seed, made in zip(jobs.pop(job), job.result(), strict=True):
                        self._store(seed, made.files)
                        self.locks.give(self._lock(seed))
                        watch.add(made.seconds)
                        rendered += not masks_only
                bar.update(len(seeds) - len(waiting) - sum(map(len, jobs.values())) - bar.n)
        return rendered

    def _lock(self, seed: int) -> int:
        return 1 + seed - self.run.seed

    def _claim(self, waiting: deque[int]) -> list[int]:
        """Take a job's seeds from the waiting: lock those that nobody makes, drop those that somebody has made."""
        claimed: list[int] = []
        for _ in range(len(waiting)):
            seed = waiting.popleft()
            mine = self.locks.take(self._lock(seed))
            # Whoever has the lock may be sure: a scene that is not there now is being made by nobody else.
            if self.scene(seed).exists() or (self.out / "manifest.json").exists():
                if mine:
                    self.locks.give(self._lock(seed))
            elif mine:
                claimed.append(seed)
            else:
                waiting.append(seed)
            if len(claimed) == (_SETTLED_IN_ONE_PROCESS if self.run.masks_only else 1):
                break
        return claimed

    def _store(self, seed: int, files: Mapping[str, bytes]) -> None:
        if self.run.masks_only:
            (line,) = files.values()
            write_text(self.scene(seed), line.decode())
            return
        with atomic_folder(self.scene(seed)) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)

    def finish(self, part: tuple[int, int]) -> bool:
        """Move the files of a part to OUT, and with the last of them the manifest; says whether all are there."""
        with self.locks.held(_FINISHING):
            if _finished(self.run, self.out):
                return True
            if self.run.masks_only:
                self._move_worlds()
            else:
                for path, seeds in self.missing(part).items():
                    write_shard(self.folder / path.name, map(self.scene, seeds))
                    self._move(path.name)
                shards = [self.out / name for name in self.run.shards()]
                if not all(path.exists() for path in shards):
                    return False
                write_manifest(self.folder, self.run.settings(), shards)
            self._move("manifest.json")
            return _finished(self.run, self.out)

    def _move_worlds(self) -> None:
        lines = (self.scene(seed).read_text("utf-8") for seed in self.run.seeds)
        with _library(self.run) as library:
            write_worlds(self.folder, self.run.settings(), lines, library)
        for name in ("worlds.jsonl", "meshes.safetensors"):
            self._move(name)

    def _move(self, name: str) -> None:
        (self.folder / name).replace(self.out / name)


def _ended(jobs: Mapping[Future[list[Made]], list[int]], patience: float | None) -> list[Future[list[Made]]]:
    if jobs:
        return list(wait(jobs, patience, FIRST_COMPLETED).done)
    time.sleep(patience or 0)
    return []


def _settings(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise InputError(f"{path}: not written by dataset_gen; give a new or empty folder")
    return document


def _same_run(run: Run, other: object, out: Path) -> None:
    mine = run.settings()
    if other == mine:
        return
    known = other if isinstance(other, dict) else {}
    names = [name for name in {**mine, **known} if known.get(name) != mine.get(name)]
    differing = ", ".join(f"{name} {known.get(name)!r} not {mine.get(name)!r}" for name in names)
    raise InputError(f"{out}: holds another run ({differing}); give another folder, or that run's arguments")


# What a worker does. Only here are the simulator and Blender imported.


def make_scenes(run: Run, seeds: Sequence[int], versions: Mapping[str, str]) -> list[Made]:
    """Make some scenes; Blender takes a process for each. RuntimeError if this machine has other versions."""
    here = _versions(run)
    if here != versions:
        other = ", ".join(f"{name} {here[name]} not {versions[name]}" for name in here if here[name] != versions[name])
        raise RuntimeError(f"{node()} has {other}; install the same versions on every machine")
    return [(make_world if run.masks_only else make_scene)(run, seed) for seed in seeds]


def _versions(run: Run) -> dict[str, str]:
    return truth_versions() if run.masks_only else all_versions()


def make_world(run: Run, seed: int) -> Made:
    """A settled scene as a line of JSON."""
    with _library(run) as library:
        return Made({"scene.json": scene_line(_settled(run, seed, library)).encode()}, {})


def make_scene(run: Run, seed: int) -> Made:
    """A rendered scene, in a process of its own."""
    from dataset_gen.render import render_scene

    watch = Stopwatch()
    watch.follow_cycles()
    with _library(run) as library, scratch_folder() as scratch:
        spec = _settled(run, seed, library)
        meshes = meshes_of(spec, library)
        with watch("blender"):
            rgb = render_scene(spec, meshes, scratch, run.samples, library).rgb
        with watch("truth"):
            clip = rendered_truth(spec, meshes, f"{scene_key(run.split, seed)}.mp4", run.canvas)
            depth = scene_depth(spec, meshes) if run.depth else None
        with watch("write"):
            folder = scratch / "scene"
            write_scene(folder, spec, clip, rgb, depth)
            files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return Made(files, watch.finish())


def _settled(run: Run, seed: int, library: Library) -> SceneSpec:
    from dataset_gen.simulate import settle

    spec = settle(sample_scene(run.preset, run.split, seed, run.size, run.frames, library), library)
    return steer(spec, meshes_of(spec, library), run.hidden) if run.hidden else spec


@contextmanager
def _library(run: Run) -> Iterator[Library]:
    with borrow_library(run.manifests) as library:
        if library.identity != run.assets:
            raise InputError(
                f"{', '.join(run.manifests)}: holds {library.identity} and not {run.assets}; give the latter"
            )
        yield library
