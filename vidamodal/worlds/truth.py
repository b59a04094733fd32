"""Exact truth of a settled scene: visible and amodal masks and the order of every frame, from its geometry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidamodal.types import ClipTracks, FrameOrder, Rle, Track, VideoInfo
from vidamodal.worlds.rasterize import frame_order, rasterize, visible_and_amodal
from vidamodal.worlds.spec import Mesh, SceneSpec, place_object


def true_tracks(
    spec: SceneSpec, meshes: Mapping[str, Mesh], video: str, provenance: Mapping[str, Any] | None = None
) -> ClipTracks:
    """The truth of a scene's clip as its own camera sees it; ``video`` is the name of its video file."""
    ids = [thing.id for thing in spec.objects]
    faces = [meshes[thing.asset].faces for thing in spec.objects]
    visible: list[list[Rle]] = [[] for _ in ids]
    amodal: list[list[Rle]] = [[] for _ in ids]
    order: list[FrameOrder] = []
    for frame in range(spec.frames):
        vertices = [place_object(meshes[thing.asset], thing, frame) for thing in spec.objects]
        depth = rasterize(vertices, faces, spec.camera, frame, spec.size)
        for k, (seen, whole) in enumerate(zip(*visible_and_amodal(depth), strict=True)):
            visible[k].append(Rle.encode(seen))
            amodal[k].append(Rle.encode(whole))
        order.append(frame_order(depth, ids))
    return ClipTracks(
        video=VideoInfo(video, spec.size, spec.size, spec.frames, spec.fps),
        tracks=tuple(
            Track(thing.id, tuple(visible[k]), tuple(amodal[k]), label=thing.label)
            for k, thing in enumerate(spec.objects)
        ),
        exhaustive=True,
        order=tuple(order),
        provenance=dict(provenance or {}),
    )
