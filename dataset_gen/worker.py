"""The work of a worker process: settling and rendering scenes.

Workers do not access the output folder. They return file contents, and the process that submitted the job writes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from platform import node

from dataset_gen.library import Library, open_temporary_library, scene_meshes
from dataset_gen.locks import scratch_folder
from dataset_gen.presets import is_place
from dataset_gen.run import Run
from dataset_gen.scene_files import scene_key, scene_line, scene_tracks, write_scene
from dataset_gen.scenes import sample_scene
from dataset_gen.timing import Stopwatch
from dataset_gen.versions import all_versions, ground_truth_versions
from dataset_gen.views import choose_camera
from vidamodal.types import InputError
from vidamodal.worlds.spec import SceneSpec
from vidamodal.worlds.truth import scene_depth


@dataclass(frozen=True)
class SceneResult:
    """Result of a worker for one scene."""

    files: Mapping[str, bytes]
    """Contents of the scene's files by name."""
    seconds: Mapping[str, float]
    """CPU-seconds by step (``dataset_gen.timing.Stopwatch``)."""


def make_scenes(run: Run, seeds: Sequence[int], versions: Mapping[str, str]) -> list[SceneResult]:
    """Generate scenes; with rendering, a process must do so for one scene only.

    Args:
        run: Settings.
        seeds: Seeds of the scenes.
        versions: Versions of the submitting process (``run_versions``).

    Raises:
        RuntimeError: This machine has other versions.
    """
    mine = run_versions(run)
    if mine != versions:
        differences = ", ".join(
            f"{name} {mine[name]} instead of {versions[name]}" for name in mine if mine[name] != versions[name]
        )
        raise RuntimeError(f"{node()} has {differences}. Install the same versions on every machine.")
    return [(make_world if run.masks_only else render_scene_files)(run, seed) for seed in seeds]


def run_versions(run: Run) -> dict[str, str]:
    """Return the versions of everything that determines a run's files."""
    return ground_truth_versions(run.preset) if run.masks_only else all_versions(run.preset)


def make_world(run: Run, seed: int) -> SceneResult:
    """Generate a settled scene as one line of JSON."""
    with open_run_library(run) as library:
        return SceneResult({"scene.json": scene_line(_settled_scene(run, seed, library)).encode()}, {})


def render_scene_files(run: Run, seed: int) -> SceneResult:
    """Generate and render a scene. It must run in a separate process."""
    from dataset_gen.render import render_scene

    watch = Stopwatch()
    watch.follow_cycles()
    with open_run_library(run) as library, scratch_folder() as scratch:
        spec = _settled_scene(run, seed, library)
        meshes = scene_meshes(spec, library)
        with watch("blender"):
            rgb = render_scene(spec, meshes, scratch, run.samples, library).rgb
        with watch("truth"):
            clip = scene_tracks(spec, meshes, f"{scene_key(run.split, seed)}.mp4", run.canvas)
            depth = scene_depth(spec, meshes) if run.depth else None
        with watch("write"):
            folder = scratch / "scene"
            write_scene(folder, spec, clip, rgb, depth)
            files = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    return SceneResult(files, watch.finish())


@contextmanager
def open_run_library(run: Run) -> Iterator[Library]:
    """Open the library of a run.

    Raises:
        InputError: The manifests have changed since the run began.
    """
    with open_temporary_library(run.manifests) as library:
        if library.identity != run.assets:
            raise InputError(
                f"{', '.join(run.manifests)}: holds {library.identity}, but the run began with {run.assets}. Use those."
            )
        yield library


def _settled_scene(run: Run, seed: int, library: Library) -> SceneSpec:
    spec = sample_scene(run.preset, run.split, seed, run.size, run.frames, library)
    if is_place(run.preset):  # nothing falls, and pybullet need not be installed
        return spec
    from dataset_gen.simulate import settle

    spec = settle(spec, library)
    return choose_camera(spec, scene_meshes(spec, library), run.hidden) if run.hidden else spec
