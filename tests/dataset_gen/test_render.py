"""Blender's images against the rasteriser. Blender runs in separate processes, which run this file as a script."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.helpers import limb
from vidamodal.types import InputError
from vidamodal.worlds.rasterize import rasterize, visible_and_amodal
from vidamodal.worlds.spec import (
    CameraSpec,
    Deformation,
    LightSpec,
    Material,
    Mesh,
    ObjectSpec,
    Pose,
    SceneSpec,
    Skin,
    place_object,
)
from vidamodal.worlds.truth import scene_depth

pytestmark = [pytest.mark.blender, pytest.mark.needs("bpy")]

Arrays = Mapping[str, np.ndarray]
RED, GREEN, BLUE, GREY = (0.7, 0.05, 0.05), (0.05, 0.6, 0.05), (0.05, 0.1, 0.7), (0.4, 0.4, 0.4)
FACING = (1.0, 0.0, 0.0, 0.0)


def box() -> Mesh:
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float32)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return Mesh(corners, np.array(faces, dtype=np.int32))


def octahedron() -> Mesh:
    corners = np.concatenate([np.eye(3), -np.eye(3)]).astype(np.float32)
    faces = [(0, 1, 2), (1, 3, 2), (3, 4, 2), (4, 0, 2), (1, 0, 5), (3, 1, 5), (4, 3, 5), (0, 4, 5)]
    return Mesh(corners, np.array(faces, dtype=np.int32))


def surface(color: tuple[float, float, float], texture: str = "plain") -> Material:
    return Material(color, 0.6, 0.0, texture, (0.9, 0.8, 0.3), 3.0)


def scene() -> tuple[SceneSpec, dict[str, Mesh]]:
    """Return a still red box, a green box that moves and turns behind it, and a stretched octahedron in front."""
    turned = (np.cos(0.3), 0.0, np.sin(0.3) * 0.6, np.sin(0.3) * 0.8)
    objects = (
        ObjectSpec(4, "box", "box", "CC0-1.0", (0.7, 0.7, 0.7), 1.0, surface(RED), (Pose((0, 0, 0.9), FACING),)),
        ObjectSpec(
            2, "box", "box", "CC0-1.0", (0.5, 0.9, 0.6), 1.0, surface(GREEN),
            (Pose((-1.6, 0.9, 1.2), FACING), Pose((-1.5, 1.2, 1.4), turned)),
        ),
        ObjectSpec(
            9, "octahedron", "thing", "CC0-1.0", (0.5, 0.3, 0.9), 1.0, surface(BLUE, "checker"),
            (Pose((1.3, 0.4, 1.0), turned),),
        ),
    )  # fmt: skip
    camera = CameraSpec(35.0, 32.0, ((6.0, 1.5, 2.5), (5.9, 1.9, 2.5)), ((0.0, 0.2, 1.0), (0.0, 0.3, 1.0)))
    light = LightSpec((0.5, -0.3, 0.8), 2.0, "courtyard", 0.5, 1.0, surface(GREY))
    spec = SceneSpec(0, "train", "movid_a", 128, 2, 12.0, objects, camera, light)
    return spec, {"box": box(), "octahedron": octahedron()}


def skinned_scene() -> tuple[SceneSpec, dict[str, Mesh]]:
    """Return a bar with three joints that turn differently in each of two frames."""
    spec, _ = scene()
    rotations = tuple(((0.0, 0.2 * t, 0.0), (0.3, 0.5 * t, 0.0), (0.0, 0.4, 0.9 * t)) for t in (0, 1))
    poses = (Pose((0, 0, 0.2), FACING), Pose((0.1, 0.2, 0.3), FACING))
    bar = ObjectSpec(
        5, "limb", "thing", "CC0-1.0", (3.0, 3.0, 0.8), 1.0, surface(RED), poses,
        deformation=Deformation(skin=Skin(rotations)),
    )  # fmt: skip
    return dataclasses.replace(spec, objects=(bar,)), {"limb": limb()}


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def geometry(spec: SceneSpec, meshes: Mapping[str, Mesh], frame: int) -> np.ndarray:
    vertices = [place_object(meshes[o.asset], o, frame) for o in spec.objects]
    return rasterize(vertices, [meshes[o.asset].faces for o in spec.objects], spec.camera, frame, spec.size)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Arrays, str]]:
    """Run this script twice, each in a process; return the saved arrays and the printed text."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    results: list[tuple[Arrays, str]] = []
    for name in ("first", "second"):
        out = tmp_path_factory.mktemp(name) / "rendered.npz"
        command = [sys.executable, __file__, str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        with np.load(out, allow_pickle=False) as saved:
            results.append((dict(saved), done.stdout))
    return results


def test_visible_masks_and_depth_agree_with_the_rasteriser(runs: list[tuple[Arrays, str]]) -> None:
    rendered, _ = runs[0]
    spec, meshes = scene()
    assert set(np.unique(rendered["segmentation"])) == {0, 2, 4, 9}
    for frame in range(spec.frames):
        depth = geometry(spec, meshes, frame)
        visible, _ = visible_and_amodal(depth)
        seen = rendered["segmentation"][frame]
        for item, mask in zip(spec.objects, visible, strict=True):
            assert iou(seen == item.id, mask) >= 0.99, (item.id, frame)
        both = (seen > 0) & visible.any(axis=0)
        np.testing.assert_allclose(rendered["depth"][frame][both], depth.min(axis=0)[both], rtol=1e-3)


def test_isolated_masks_agree_with_the_rasteriser(runs: list[tuple[Arrays, str]]) -> None:
    rendered, _ = runs[0]
    spec, meshes = scene()
    _, amodal = visible_and_amodal(geometry(spec, meshes, 1))
    for alone, mask in zip(rendered["isolated"][:, 0], amodal, strict=True):
        assert iou(alone, mask) >= 0.99


def test_skinned_meshes_agree_with_the_rasteriser(runs: list[tuple[Arrays, str]]) -> None:
    rendered, _ = runs[0]
    spec, meshes = skinned_scene()
    for frame in range(spec.frames):
        _, amodal = visible_and_amodal(geometry(spec, meshes, frame))
        assert iou(rendered["skinned"][0, frame], amodal[0]) >= 0.98, frame


def test_the_same_spec_gives_the_same_bytes(runs: list[tuple[Arrays, str]]) -> None:
    first, second = runs[0][0], runs[1][0]
    for name in ("rgb", "segmentation", "depth", "isolated"):
        assert first[name].tobytes() == second[name].tobytes(), name


def test_images_show_the_materials_well_exposed(runs: list[tuple[Arrays, str]]) -> None:
    rendered, _ = runs[0]
    rgb, ids = rendered["rgb"], rendered["segmentation"]
    assert rgb.dtype == np.uint8 and rgb.shape == (2, 128, 128, 3)
    red, green = rgb[ids == 4].mean(axis=0), rgb[ids == 2].mean(axis=0)
    assert red[0] > 1.5 * max(red[1:]) and green[1] > 1.2 * max(green[0], green[2])
    checker = rgb[ids == 9].astype(float)  # blue and yellow cells
    assert np.mean(checker[:, 2] > checker[:, 0] + 30) > 0.15 and np.mean(checker[:, 0] > checker[:, 2] + 30) > 0.15
    assert 60 < rgb.mean() < 190
    assert np.mean(rgb.max(axis=-1) == 255) < 0.02 and np.mean(rgb.max(axis=-1) < 8) < 0.05


def test_depth_agrees_with_the_rasteriser(runs: list[tuple[Arrays, str]]) -> None:
    rendered, truth = runs[0][0]["depth"], scene_depth(*scene()).astype(np.float32)
    same = np.isclose(rendered, truth, rtol=2e-3)  # float16, and the floor seen at a grazing angle
    assert same.mean() > 0.995 and np.mean(np.isinf(rendered) == np.isinf(truth)) > 0.999


def test_the_sky_has_infinite_depth_and_the_floor_does_not(runs: list[tuple[Arrays, str]]) -> None:
    depth = runs[0][0]["depth"]
    assert np.isinf(depth[:, 0]).all() and np.isfinite(depth[:, -1]).all()


def test_the_scratch_folder_is_emptied_and_nothing_is_printed(runs: list[tuple[Arrays, str]]) -> None:
    rendered, printed = runs[0]
    assert rendered["left_over"] == 0
    assert "Fra:" not in printed and "Saved" not in printed and "import" not in printed.lower()


def test_unknown_environment_map_is_refused_in_one_line(runs: list[tuple[Arrays, str]]) -> None:
    message = str(runs[0][0]["refusal"])
    assert "'nowhere'" in message and "courtyard" in message and "\n" not in message


def main(out: Path) -> None:
    from dataset_gen.render import isolated_masks, render_scene

    spec, meshes = scene()
    scratch = out.parent / "scratch"
    scratch.mkdir()
    rendered = render_scene(spec, meshes, scratch, samples=4)
    isolated = isolated_masks(spec, meshes, scratch, frames=[1])
    skinned = isolated_masks(*skinned_scene(), scratch, frames=[0, 1])
    refusal = ""
    try:
        lost = dataclasses.replace(spec, light=dataclasses.replace(spec.light, hdri="nowhere"))
        render_scene(lost, meshes, scratch, samples=1)
    except InputError as error:
        refusal = str(error)
    left_over = len(list(scratch.iterdir()))
    np.savez(out, **vars(rendered), isolated=isolated, skinned=skinned, refusal=refusal, left_over=left_over)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
