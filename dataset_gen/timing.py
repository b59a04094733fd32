"""Where the computing time of a rendering run goes. It is printed and stands in no file."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

BENCHMARK_VIDEOS = 838
"""Videos of MOViD-A, to which a run is extrapolated."""


class Stopwatch:
    """CPU-seconds of this process, of all its threads, by step."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time the block as (more of) a step."""
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[step] += time.process_time() - start

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add what another process has spent."""
        for step, value in seconds.items():
            self.seconds[step] += value

    def follow_cycles(self) -> None:
        """Time Blender's render calls as the step ``cycles``. To be called where bpy is loaded anyway."""
        import bpy

        started = 0.0

        @bpy.app.handlers.persistent  # Kubric begins by loading an empty scene
        def begin(*_: object) -> None:
            nonlocal started
            started = time.process_time()

        @bpy.app.handlers.persistent
        def end(*_: object) -> None:
            self.seconds["cycles"] += time.process_time() - started

        bpy.app.handlers.render_init.append(begin)
        bpy.app.handlers.render_complete.append(end)

    def finish(self) -> Mapping[str, float]:
        """All steps, and as ``all`` the time since the process began."""
        return {**self.seconds, "all": time.process_time()}


def summary(scenes: int, frames: int, seconds: Mapping[str, float]) -> str:
    """One line about a run that rendered some scenes of so many frames.

    ``seconds`` are sums: the workers' ``all``, of which ``blender`` (of which ``cycles``), ``truth`` and ``write``; and
    this process' ``own``, which writes what they return.
    """
    blender, cycles = seconds["blender"] / scenes, seconds["cycles"] / scenes
    ours = (seconds["truth"] + seconds["write"] + seconds["own"]) / scenes
    whole = (seconds["all"] + seconds["own"]) / scenes
    return (
        f"{whole:.1f} CPU-s a scene ({whole / frames:.2f} a frame): Cycles {cycles:.1f}, "
        f"rest of Blender {blender - cycles:.1f}, truth and writing {ours:.1f}, "
        f"start-up and settling {whole - blender - ours:.1f}; all is {whole / cycles:.2f} x Cycles, "
        f"truth and writing {ours / cycles:.1%} of it; "
        f"{BENCHMARK_VIDEOS} such videos: {BENCHMARK_VIDEOS * whole / 3600:.1f} core-hours"
    )
