"""CPU time of a rendering run by step. It is printed and stored in no file."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

BENCHMARK_VIDEOS = 838
"""Number of videos of MOViD-A, to which the time is extrapolated."""


class Stopwatch:
    """CPU-seconds of all threads of this process, by step."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Add the time of the block to a step."""
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[step] += time.process_time() - start

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add the times of another process."""
        for step, value in seconds.items():
            self.seconds[step] += value

    def follow_cycles(self) -> None:
        """Record the time of Blender's render calls as the step ``cycles``. It imports bpy."""
        import bpy

        persistent: Callable[[Callable[..., None]], Callable[..., None]] = bpy.app.handlers.persistent
        started = 0.0

        @persistent  # Kubric first loads an empty scene, which removes other handlers
        def begin(*_: object) -> None:
            nonlocal started
            started = time.process_time()

        @persistent
        def end(*_: object) -> None:
            self.seconds["cycles"] += time.process_time() - started

        bpy.app.handlers.render_init.append(begin)
        bpy.app.handlers.render_complete.append(end)

    def finish(self) -> Mapping[str, float]:
        """Return the times of all steps, and as ``all`` the time since the process began."""
        return {**self.seconds, "all": time.process_time()}


def summary(scenes: int, frames: int, seconds: Mapping[str, float]) -> str:
    """Return one line about the CPU time of a rendering run.

    Args:
        scenes: Number of rendered scenes.
        frames: Frames per scene.
        seconds: Sums over all scenes: ``all`` of the workers, which contains ``blender`` (which contains ``cycles``),
            ``truth`` and ``write``; and ``own`` of this process, which writes their results.
    """
    blender, cycles = seconds["blender"] / scenes, seconds["cycles"] / scenes
    own = (seconds["truth"] + seconds["write"] + seconds["own"]) / scenes
    total = (seconds["all"] + seconds["own"]) / scenes
    return (
        f"{total:.1f} CPU-s per scene ({total / frames:.2f} per frame): Cycles {cycles:.1f}, "
        f"rest of Blender {blender - cycles:.1f}, ground truth and writing {own:.1f}, "
        f"start-up and physics {total - blender - own:.1f}; the total is {total / cycles:.2f} x Cycles, "
        f"ground truth and writing are {own / cycles:.1%} of it; "
        f"{BENCHMARK_VIDEOS} such videos take {BENCHMARK_VIDEOS * total / 3600:.1f} core-hours"
    )
