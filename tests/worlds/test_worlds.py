"""Worlds: the rasteriser against a slow ray caster, scene files, toy worlds, sampled clips."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy.spatial import ConvexHull

from vidamodal.formats.tracks import dumps_tracks, loads_tracks
from vidamodal.occlusion.order import order_from_depth
from vidamodal.types import InputError
from vidamodal.worlds.rasterize import project, rasterize, visible_and_amodal
from vidamodal.worlds.sample import WorldBank, WorldConfig, clip_masks, random_camera
from vidamodal.worlds.spec import (
    CameraSpec,
    Deformation,
    Hinge,
    LightSpec,
    Material,
    Mesh,
    ObjectSpec,
    Pose,
    SceneSpec,
    Throw,
    deform,
    place,
    rotation_matrix,
)
from vidamodal.worlds.toy import toy_bank
from vidamodal.worlds.truth import true_tracks

SIZE = 40
CAMERA = CameraSpec(35.0, 32.0, ((5.0, -2.0, 3.0),), ((0.0, 0.0, 0.3),))
SMALL = WorldConfig(size=48, frames=5)


def blob(rng: np.random.Generator) -> Mesh:
    """A random convex body at the origin."""
    points = rng.normal(size=(rng.integers(5, 14), 3))
    hull = ConvexHull(points)
    faces = hull.simplices.copy()
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("fc,fc->f", normals, hull.equations[:, :3]) < 0
    faces[inward] = faces[inward][:, ::-1]
    return Mesh(points.astype(np.float32), faces.astype(np.int32))


def scene(rng: np.random.Generator, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """World vertices and faces of some bodies that overlap in most views."""
    meshes = [blob(rng) for _ in range(count)]
    turns = [turn / np.linalg.norm(turn) for turn in rng.normal(size=(count, 4))]
    vertices = [
        place(mesh, tuple(rng.uniform(0.3, 0.8, 3)), Pose(tuple(rng.normal(0, 0.4, 3)), tuple(turn)))
        for mesh, turn in zip(meshes, turns, strict=True)
    ]
    return vertices, [mesh.faces for mesh in meshes]


def cast(vertices: list[np.ndarray], faces: list[np.ndarray], camera: CameraSpec, frame: int, size: int) -> np.ndarray:
    """Depth of each object along the optical axis by Moeller and Trumbore's test of every ray with every triangle."""
    eye = np.array(camera.positions[frame])
    forward = np.array(camera.targets[frame]) - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1])
    right = right / np.linalg.norm(right)
    up = np.cross(right, forward)
    across = (np.arange(size) + 0.5 - size / 2) / size * camera.sensor_width / camera.focal_length
    rays = (forward + across[None, :, None] * right - across[:, None, None] * up).reshape(-1, 1, 3)
    depth = np.full((len(vertices), size * size), np.inf)
    for k, (points, triangles) in enumerate(zip(vertices, faces, strict=True)):
        a, b, c = (points[triangles[:, i]] for i in range(3))
        edge1, edge2 = b - a, c - a
        normal = np.cross(rays, edge2)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = 1 / np.einsum("fc,pfc->pf", edge1, normal)
            from_a = eye - a
            u = np.einsum("fc,pfc->pf", from_a, normal) * scale
            turned = np.cross(from_a, edge1)
            v = np.einsum("pqc,fc->pf", rays, turned) * scale
            along = np.einsum("fc,fc->f", edge2, turned) * scale
            hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (along > 0)
        depth[k] = np.where(hit, along, np.inf).min(axis=1)
    return depth.reshape(-1, size, size)


def drawn(seed: int, count: int = 3, frame: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Depth by the rasteriser and by the ray caster of one random scene, seen by a random camera."""
    rng = np.random.default_rng(seed)
    vertices, faces = scene(rng, count)
    camera = random_camera(rng, 3, "orbit")
    return rasterize(vertices, faces, camera, frame, SIZE), cast(vertices, faces, camera, frame, SIZE)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 2))
def test_masks_and_depth_are_those_of_a_ray_caster(seed: int, count: int, frame: int) -> None:
    fast, slow = drawn(seed, count, frame)
    assert fast.shape == slow.shape == (count, SIZE, SIZE)
    assert (np.isfinite(fast) != np.isfinite(slow)).sum(axis=(1, 2)).max() <= 2
    both = np.isfinite(fast) & np.isfinite(slow)
    np.testing.assert_allclose(fast[both], slow[both], rtol=1e-4)


def test_the_ray_caster_is_put_to_use() -> None:
    """The comparison above would say nothing about scenes in which nothing is hit."""
    hits = [np.isfinite(drawn(seed)[1]) for seed in range(8)]
    assert sum(h.sum() for h in hits) > 8 * 100
    assert sum((h.sum(axis=0) >= 2).sum() for h in hits) > 8 * 20


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_visible_masks_share_out_the_union_of_amodal_ones_by_depth(seed: int, count: int) -> None:
    depth, _ = drawn(seed, count)
    visible, amodal = visible_and_amodal(depth)
    assert visible.sum(axis=0).max() <= 1
    assert not (visible & ~amodal).any()
    np.testing.assert_array_equal(visible.any(axis=0), amodal.any(axis=0))
    np.testing.assert_array_equal(amodal, np.isfinite(depth))
    for k, mask in enumerate(visible):
        assert (depth[k][mask] <= depth[:, mask].min(axis=0)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_order_is_that_of_most_shared_pixels(seed: int, count: int) -> None:
    depth, _ = drawn(seed, count)
    ids = [10 + 3 * k for k in range(count)]
    enough = 16 * (SIZE / 256) ** 2
    wanted = {}
    for i in range(count):
        for j in range(i + 1, count):
            both = np.isfinite(depth[i]) & np.isfinite(depth[j])
            if both.sum() >= max(enough, 1):
                wanted[ids[i], ids[j]] = (depth[i] < depth[j])[both].sum() * 2 - both.sum()
    order = order_from_depth(depth, ids)
    assert {tuple(sorted(pair)) for pair in order} == set(wanted) and len(order) == len(wanted)
    for front, back in order:
        lead = wanted[min(front, back), max(front, back)]
        assert lead == 0 or (front < back) == (lead > 0)


def test_order_asks_for_16_pixels_at_256() -> None:
    near, far = np.full((2, 256, 256), np.inf)
    far[:] = 2.0
    near[0, :15] = 1.0
    assert order_from_depth(np.stack([far, near]), [5, 7]) == ()
    near[0, 15] = 1.0
    assert order_from_depth(np.stack([far, near]), [5, 7]) == ((7, 5),)


def test_an_empty_scene() -> None:
    depth = rasterize([], [], CAMERA, 0, SIZE)
    visible, amodal = visible_and_amodal(depth)
    assert depth.shape == visible.shape == amodal.shape == (0, SIZE, SIZE)
    assert order_from_depth(depth, []) == ()


def test_what_is_behind_the_camera_or_beside_the_image_is_not_drawn() -> None:
    body = blob(np.random.default_rng(0))
    eye, target = np.array(CAMERA.positions[0]), np.array(CAMERA.targets[0])
    places = {"ahead": target, "behind": 2 * eye - target, "beside": target + (3.0, 10.0, 0.0)}
    vertices = [body.vertices * 0.3 + where for where in places.values()]
    depth = rasterize(vertices, [body.faces] * 3, CAMERA, 0, SIZE)
    assert np.isfinite(depth[0]).any() and not np.isfinite(depth[1:]).any()


def test_projection_of_known_points() -> None:
    """35 mm over a 32 mm sensor: a point one unit aside at depth d lies 35 / 32 / d image sides from the middle."""
    camera = CameraSpec(35.0, 32.0, ((0.0, -4.0, 0.0),), ((0.0, 0.0, 0.0),))
    xy, depth = project(np.array([[0.0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 3, 0]]), camera, 0, 64)
    step = 35 / 32 / 4 * 64
    np.testing.assert_allclose(xy, [[32, 32], [32 + step, 32], [32, 32 - step], [32, 32]], atol=1e-9)
    np.testing.assert_allclose(depth, [4, 4, 4, 7])


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_rotations_turn_and_do_not_mirror(quaternion: tuple[float, float, float, float]) -> None:
    unit = tuple((np.array(quaternion) / np.linalg.norm(quaternion)).tolist())
    matrix = rotation_matrix(unit)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(matrix @ unit[1:], unit[1:], atol=1e-12)


def test_a_quarter_turn_about_z_takes_x_to_y() -> None:
    half = np.sqrt(0.5)
    np.testing.assert_allclose(rotation_matrix((half, 0, 0, half)) @ (1, 0, 0), (0, 1, 0), atol=1e-12)


# Scene files

numbers = st.floats(allow_nan=False, allow_infinity=False)
vectors = st.tuples(numbers, numbers, numbers)
materials = st.builds(Material, vectors, numbers, numbers, st.text(), vectors, numbers)
poses = st.builds(Pose, vectors, st.tuples(numbers, numbers, numbers, numbers))
objects = st.builds(
    ObjectSpec, st.integers(0), st.text(), st.text(), st.text(), vectors, numbers, materials,
    st.lists(poses, min_size=1, max_size=3).map(tuple),
)  # fmt: skip
paths = st.lists(vectors, max_size=3).map(tuple)
specs = st.builds(
    SceneSpec, st.integers(0), st.text(), st.text(), st.integers(1), st.integers(1), numbers,
    st.lists(objects, max_size=3).map(tuple), st.builds(CameraSpec, numbers, numbers, paths, paths),
    st.builds(LightSpec, vectors, numbers, st.text(), numbers, numbers, materials),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(specs)
def test_a_scene_survives_json_exactly(spec: SceneSpec) -> None:
    again = SceneSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and repr(again) == repr(spec)


@pytest.mark.parametrize("spoil", [lambda d: d.pop("camera"), lambda d: d.update(colour=1)])
def test_a_scene_with_a_missing_or_unknown_key_is_refused(spoil: object) -> None:
    data = toy_bank(0).worlds[0].to_json()
    spoil(data)  # type: ignore[operator]
    with pytest.raises((KeyError, TypeError)):
        SceneSpec.from_json(data)


# Toy worlds and sampled clips


@pytest.mark.parametrize("name", ["box", "ball"])
def test_toy_meshes_are_closed_and_face_outward(name: str) -> None:
    mesh = toy_bank(0).meshes[name]
    edges = Counter((a, b) for f in mesh.faces.tolist() for a, b in zip(f, f[1:] + f[:1], strict=True))
    assert set(edges.values()) == {1} and all((b, a) in edges for a, b in edges)
    assert set(mesh.faces.ravel().tolist()) == set(range(len(mesh.vertices)))
    corners = mesh.vertices[mesh.faces].astype(float)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.einsum("fc,fc->f", normals, corners.mean(axis=1)).min() > 0


def test_a_sample_follows_from_its_generator() -> None:
    bank = toy_bank(3)
    first, again, other = (bank.sample(np.random.default_rng(seed), SMALL) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.visible, again.visible)
    np.testing.assert_array_equal(first.amodal, again.amodal)
    assert first.amodal.shape != other.amodal.shape or (first.amodal != other.amodal).any()
    assert first.visible.shape == first.amodal.shape and first.visible.shape[1:] == (5, 48, 48)


def test_toy_banks_follow_from_their_seed() -> None:
    assert toy_bank(1).worlds == toy_bank(1).worlds != toy_bank(2).worlds


def test_some_clips_have_objects_that_fly() -> None:
    """With a camera that stands still, whatever changes from frame to frame has moved."""
    bank, still = toy_bank(0), replace(SMALL, move=0.0, drop=0.0)
    for config, moves in ((still, False), (replace(still, move=1.0), True)):
        frozen = _with_still_camera(bank, config)
        assert (frozen != frozen[:, :1]).any() == moves


def _with_still_camera(bank: WorldBank, config: WorldConfig) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidamodal.worlds.sample.random_camera", _still)
        return bank.sample(np.random.default_rng(0), config).amodal


def _still(_rng: np.random.Generator, frames: int, _kind: str) -> CameraSpec:
    return replace(CAMERA, positions=CAMERA.positions * frames, targets=CAMERA.targets * frames)


def test_dropped_objects_leave_at_least_one() -> None:
    for seed in range(20):
        assert len(toy_bank(0).sample(np.random.default_rng(seed), replace(SMALL, frames=1, drop=1.0)).amodal) >= 1


def test_clips_and_true_tracks_show_the_same() -> None:
    bank = toy_bank(5)
    spec = replace(bank.worlds[0], size=SIZE)
    clip = clip_masks(spec.objects, bank.meshes, spec.camera, spec.frames, spec.size)
    tracks = true_tracks(spec, bank.meshes, "clip.mp4", {"seed": spec.seed})
    assert [t.id for t in tracks.tracks] == [o.id for o in spec.objects] and tracks.exhaustive
    for k, track in enumerate(tracks.tracks):
        assert track.amodal is not None
        for t in range(spec.frames):
            visible, amodal = track.visible[t], track.amodal[t]
            assert visible is not None and amodal is not None
            np.testing.assert_array_equal(visible.decode(), clip.visible[k, t])
            np.testing.assert_array_equal(amodal.decode(), clip.amodal[k, t])


def write_bank(folder: Path, bank: WorldBank) -> None:
    folder.mkdir()
    (folder / "worlds.jsonl").write_text("".join(json.dumps(w.to_json()) + "\n" for w in bank.worlds))
    arrays = {f"{k}/{part}": getattr(m, part) for k, m in bank.meshes.items() for part in ("vertices", "faces")}
    save_file(arrays, folder / "meshes.safetensors")


def test_a_folder_of_worlds_is_read_as_it_was_written(tmp_path: Path) -> None:
    bank = toy_bank(2, worlds=3)
    write_bank(tmp_path / "worlds", bank)
    read = WorldBank.load(tmp_path / "worlds")
    assert read.worlds == bank.worlds
    for name, mesh in read.meshes.items():
        np.testing.assert_array_equal(mesh.vertices, bank.meshes[name].vertices)
        np.testing.assert_array_equal(mesh.faces, bank.meshes[name].faces)


@pytest.mark.parametrize("damage", ["no folder", "no meshes", "no world", "not json", "other json", "truncated meshes"])
def test_what_is_not_a_folder_of_worlds_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "worlds"
    if damage != "no folder":
        write_bank(folder, toy_bank(2, worlds=1))
    if damage == "no meshes":
        (folder / "meshes.safetensors").unlink()
    if damage == "no world":
        (folder / "worlds.jsonl").write_text("")
    if damage == "not json":
        (folder / "worlds.jsonl").write_text("{")
    if damage == "other json":
        (folder / "worlds.jsonl").write_text("[1, 2]\n")
    if damage == "truncated meshes":
        (folder / "meshes.safetensors").write_bytes((folder / "meshes.safetensors").read_bytes()[:50])
    with pytest.raises(InputError, match="worlds") as error:
        WorldBank.load(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


# What moves and changes


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    corners = vertices[faces]
    return float(np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)


@settings(max_examples=40, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(0.5, 2), st.floats(-3, 3))
def test_deforming_keeps_volume_and_what_a_limb_does_not_reach(bend: float, squash: float, angle: float) -> None:
    mesh = toy_bank(0).meshes["ball"]
    vertices = mesh.vertices * 0.5
    half = len(vertices) // 2
    hinge = Hinge(half, len(vertices), (0.1, 0.2, 0.3), (0.0, 1.0, 0.0), (angle,))
    turned = deform(vertices, Deformation((hinge,)), 0)
    assert np.array_equal(turned[:half], vertices[:half])
    reach = np.linalg.norm(vertices[half:] - hinge.pivot, axis=1)
    assert np.allclose(np.linalg.norm(turned[half:] - hinge.pivot, axis=1), reach, atol=1e-6)
    assert np.allclose(turned[half:, 1], vertices[half:, 1], atol=1e-6)  # along the axis nothing moves
    squashed = deform(vertices, Deformation(squash=(squash,)), 0)
    assert np.isclose(volume(squashed, mesh.faces), volume(vertices, mesh.faces), rtol=1e-5)
    assert np.isclose(np.ptp(squashed[:, 2]), squash * np.ptp(vertices[:, 2]), rtol=1e-5)
    bent = deform(vertices, Deformation(bend=(bend,)), 0)
    assert np.isclose(volume(bent, mesh.faces), volume(vertices, mesh.faces), rtol=0.05)
    spine = np.array([[0.0, 0.0, z] for z in np.linspace(-0.5, 0.5, 200)])
    curve = deform(spine, Deformation(bend=(bend,)), 0)
    assert np.isclose(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum(), 1, rtol=1e-3)  # the axis keeps its length


def lively_world(frames: int) -> SceneSpec:
    """One object that walks, one that is bent more and more, one that stands still; seen by a still camera."""
    world = toy_bank(0).worlds[0]
    poses = tuple(Pose((0.1 * t - 0.3, 0.0, 0.6), (1.0, 0.0, 0.0, 0.0)) for t in range(frames))
    bent = Deformation(bend=tuple(0.2 * t for t in range(frames)))
    first, second, third = world.objects[:3]
    objects = (replace(first, poses=poses), replace(second, deformation=bent), third)
    return replace(world, objects=objects, frames=frames)


def test_what_moves_and_changes_survives_json() -> None:
    world = lively_world(5)
    thrown = replace(world.objects[2], throw=Throw((1.0, 2.0, 3.0), (0.1, 0.2, 0.3)))
    world = replace(world, objects=(*world.objects[:2], thrown))
    data = json.loads(json.dumps(world.to_json()))
    assert SceneSpec.from_json(data) == world
    assert "deformation" not in data["objects"][0] and "throw" not in data["objects"][1]


def test_moving_worlds_are_seen_by_still_cameras_too_and_only_what_stands_still_looks_the_same() -> None:
    bank = WorldBank((lively_world(6),), toy_bank(0).meshes)
    config = replace(SMALL, frames=6, drop=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vidamodal.worlds.sample.CAMERAS", ("fixed",))
        walks, bends, stands = bank.sample(np.random.default_rng(1), config).amodal
    assert (walks[0] != walks[-1]).any() and (bends[0] != bends[-1]).any()
    assert (stands == stands[0]).all()


def test_a_moving_world_that_is_shorter_than_the_clip_is_refused() -> None:
    bank = WorldBank((lively_world(4),), toy_bank(0).meshes)
    with pytest.raises(InputError, match="Generate the worlds with 6 frames"):
        bank.sample(np.random.default_rng(0), replace(SMALL, frames=6, drop=0.0))


@pytest.mark.parametrize("kind", ["fixed", "linear", "orbit"])
def test_cameras_go_as_their_kind_says(kind: str) -> None:
    for seed in range(5):
        camera = random_camera(np.random.default_rng(seed), 9, kind)
        steps = np.diff(np.array(camera.positions), axis=0)
        assert np.isfinite(steps).all()
        if kind == "fixed":
            assert not steps.any() and len(set(camera.targets)) == 1
        elif kind == "linear":
            assert np.allclose(steps, steps[0]) and steps.any()
        else:
            assert np.linalg.norm(steps - steps.mean(axis=0), axis=1).max() > 1e-3


def test_objects_that_leave_the_image_go_on_in_the_canvas() -> None:
    """A canvas shows what a wider sensor of the same pixels would."""
    bank = toy_bank(5)
    world = replace(bank.worlds[0], size=48, frames=2, camera=random_camera(np.random.default_rng(2), 2, "orbit"))
    near = replace(world.camera, focal_length=90.0)  # so near that most objects are cut
    world = replace(world, camera=near)
    plain, padded = (true_tracks(world, bank.meshes, "x.mp4", canvas=margin) for margin in (0, 20))
    assert padded.video.canvas == (20, 20, 20, 20) and plain.video.canvas is None
    beyond = 0
    for track, wide in zip(plain.tracks, padded.tracks, strict=True):
        assert track.amodal_full is None and wide.amodal_full is not None and wide.amodal is not None
        assert (track.visible, track.amodal) == (wide.visible, wide.amodal)
        for cut, full in zip(wide.amodal, wide.amodal_full, strict=True):
            assert cut is not None and full is not None
            assert np.array_equal(full.decode()[20:68, 20:68], cut.decode())
            beyond += full.area() - cut.area()
    assert beyond > 500
    assert loads_tracks(dumps_tracks(padded), "f") == padded
