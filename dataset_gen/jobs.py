"""Running a data set: scenes in processes of their own, resumable, the same files however many workers make them.

While a run lasts, ``OUT/.work`` holds its settings and its finished scenes. A scene appears there whole, by a rename,
so running the same command again makes what is missing. The finished files move from there to OUT, the manifest last.
Several parts of a run (``--shard``) may share one OUT: each makes whole shards, and the one that finds all of them
there writes the manifest.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_gen.sample import sample_scene
from dataset_gen.truth import GENERATOR, meshes_of, rendered_truth
from dataset_gen.write import scene_key, scene_line, write_manifest, write_scene, write_shard, write_worlds
from vidamodal.media.files import write_text
from vidamodal.types import InputError

SHARD_SCENES = 16
_SETTLED_IN_ONE_PROCESS = 16


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

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.scenes)

    def shards(self) -> dict[str, range]:
        """The seeds of each shard by its file name."""
        starts = range(0, self.scenes, SHARD_SCENES)
        return {f"{self.split}-{k:06d}.tar": self.seeds[start : start + SHARD_SCENES] for k, start in enumerate(starts)}


def generate(run: Run, out: Path, workers: int = 1, part: tuple[int, int] = (0, 1), quiet: bool = False) -> bool:
    """Make, or go on making, a run's files in the folder ``out``; ``part`` (i, n) makes every n-th shard from the i-th.

    Returns whether the folder is finished: with several parts, it is when the last of them ends.
    Raises InputError if ``out`` holds something else, RuntimeError if a worker dies.
    """
    if _finished(run, out):
        return True
    work = _open_work(run, out)
    complete = (
        _worlds(run, out, work, workers, quiet) if run.masks_only else _shards(run, out, work, workers, part, quiet)
    )
    if complete:
        shutil.rmtree(work, ignore_errors=True)  # another part may be at it as well
    return complete


def _worlds(run: Run, out: Path, work: Path, workers: int, quiet: bool) -> bool:
    _make(run, work, run.seeds, workers, quiet)
    write_worlds(work, asdict(run), (_scene_path(run, work, seed).read_text("utf-8") for seed in run.seeds))
    for name in ("worlds.jsonl", "meshes.safetensors", "manifest.json"):
        (work / name).replace(out / name)
    return True


def _shards(run: Run, out: Path, work: Path, workers: int, part: tuple[int, int], quiet: bool) -> bool:
    shards = {out / name: seeds for name, seeds in run.shards().items()}
    index, count = part
    missing = {path: shards[path] for path in list(shards)[index::count] if not path.exists()}
    _make(run, work, [seed for seeds in missing.values() for seed in seeds], workers, quiet)
    for path, seeds in missing.items():
        write_shard(work / path.name, [_scene_path(run, work, seed) for seed in seeds])
        (work / path.name).replace(path)
    if not all(path.exists() for path in shards):
        return False
    write_manifest(work, asdict(run), shards)
    (work / "manifest.json").replace(out / "manifest.json")
    return True


def _finished(run: Run, out: Path) -> bool:
    """Whether ``out`` holds this run complete; InputError if it holds another."""
    manifest = out / "manifest.json"
    if not manifest.exists():
        return False
    _same_run(run, _settings(manifest).get("run"), out)
    shutil.rmtree(out / ".work", ignore_errors=True)
    return True


def _open_work(run: Run, out: Path) -> Path:
    work = out / ".work"
    settings = work / "run.json"
    if settings.exists():
        _same_run(run, _settings(settings), out)
    elif out.exists() and (not out.is_dir() or any(path != work for path in out.iterdir())):
        raise InputError(f"{out}: holds something else; give a new or empty folder")
    else:
        write_text(settings, json.dumps(asdict(run)) + "\n")
    return work


def _settings(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        document = None
    if not isinstance(document, dict):
        raise InputError(f"{path}: not written by dataset_gen; give a new or empty folder")
    return document


def _same_run(run: Run, other: object, out: Path) -> None:
    mine = asdict(run)
    if other == mine:
        return
    known = other if isinstance(other, dict) else {}
    differing = ", ".join(f"{key} {known.get(key)!r} not {mine[key]!r}" for key in mine if known.get(key) != mine[key])
    raise InputError(f"{out}: holds another run ({differing}); give another folder, or that run's arguments")


def _scene_path(run: Run, work: Path, seed: int) -> Path:
    """Where a scene stands when it is made: a folder of its files, or the line of a mask-only world."""
    return work / (scene_key(run.split, seed) + (".json" if run.masks_only else ""))


def _make(run: Run, work: Path, seeds: Sequence[int], workers: int, quiet: bool) -> None:
    """Make those of the scenes that are not there yet; Blender gets a process for each, settling for a few."""
    missing = [seed for seed in seeds if not _scene_path(run, work, seed).exists()]
    make, count = (_make_world, _SETTLED_IN_ONE_PROCESS) if run.masks_only else (_make_scene, 1)
    batches = [missing[start : start + count] for start in range(0, len(missing), count)]
    bar = tqdm(total=len(seeds), initial=len(seeds) - len(missing), unit="scene", disable=quiet)
    with bar, fresh_processes(workers) as pool:
        jobs = {pool.submit(_make_all, make, run, work, batch): len(batch) for batch in batches}
        for job in as_completed(jobs):
            job.result()
            bar.update(jobs[job])


@contextmanager
def fresh_processes(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes, a fresh one for each job, that die with this one; after an error no further job begins."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker, max_tasks_per_child=1)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker() -> None:
    """Die with the parent, and keep what Blender says when it ends off stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


# What a worker does. Only here are the simulator and Blender imported.


def _make_all(make: Callable[[Run, Path, int], None], run: Run, work: Path, seeds: Sequence[int]) -> None:
    for seed in seeds:
        make(run, _scene_path(run, work, seed), seed)


def _make_world(run: Run, target: Path, seed: int) -> None:
    from dataset_gen.simulate import settle

    spec = settle(sample_scene(run.preset, run.split, seed, run.size, run.frames))
    write_text(target, scene_line(spec))


def _make_scene(run: Run, target: Path, seed: int) -> None:
    from dataset_gen.render import render_scene
    from dataset_gen.simulate import settle

    spec = settle(sample_scene(run.preset, run.split, seed, run.size, run.frames))
    meshes = meshes_of(spec)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch, target.name)
        folder.mkdir()
        rgb = render_scene(spec, meshes, Path(scratch), run.samples).rgb
        write_scene(folder, spec, rendered_truth(spec, meshes, f"{target.name}.mp4"), rgb)
        folder.rename(target)
