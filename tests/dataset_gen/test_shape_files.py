"""Shapes of archives: units, closedness, textures and damage; with Blender, rendered files against their meshes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset_gen.assets import SPLITS, THING
from dataset_gen.library import Library, open_library
from dataset_gen.meshes import dump_obj, is_closed, read_obj
from dataset_gen.shape_files import VisualFile
from tests.dataset_gen.asset_files import (
    CUBE,
    archive_files,
    map_entry,
    open_single_shape,
    pack,
    shape_entry,
    write_asset_manifest,
)
from tests.dataset_gen.helpers import ROOT, needs_assets
from vidamodal.types import InputError
from vidamodal.worlds.rasterize import rasterize, visible_and_amodal
from vidamodal.worlds.spec import CameraSpec, LightSpec, Material, Mesh, ObjectSpec, Pose, SceneSpec, place


def visual_file(library: Library) -> VisualFile:
    """Return the visual file of the shape "it"."""
    file = library.visual_file("it")
    assert file is not None
    return file


def test_a_shape_is_centred_and_a_metre_long_like_its_visual_file(tmp_path: Path) -> None:
    library = open_single_shape(tmp_path, archive_files())
    shape, file = library.asset("it"), library.visual_file("it")
    assert (shape.label, shape.licence, shape.source) == ("thing", "CC BY-SA 4.0", "KuBasic 1.0")
    assert library.ids("test") == {THING: ("it",)}
    np.testing.assert_allclose(shape.mesh.vertices.max(axis=0), (0.5, 1 / 3, 1 / 6), atol=1e-6)
    np.testing.assert_allclose(shape.mesh.vertices.min(axis=0), (-0.5, -1 / 3, -1 / 6), atol=1e-6)
    assert file is not None and not file.is_textured and len(shape.mesh.faces) == 12
    (raw,) = read_obj(file.path.read_text())
    np.testing.assert_allclose((raw.vertices - file.centre) / file.longest, shape.mesh.vertices, atol=1e-6)


def test_open_surfaces_are_made_two_sided(tmp_path: Path) -> None:
    lid = Mesh(CUBE.vertices, CUBE.faces[:-2])
    inside_out = Mesh(CUBE.vertices, CUBE.faces[:, ::-1])
    assert is_closed(CUBE) and not is_closed(lid) and not is_closed(inside_out)
    for k, shape in enumerate((lid, inside_out)):
        files = archive_files() | {"visual_geometry.obj": dump_obj({"it": shape}).encode()}
        mesh = open_single_shape(tmp_path / str(k), files).asset("it").mesh
        faces = {tuple(sorted(face)): 0 for face in mesh.faces.tolist()}
        assert len(mesh.faces) == 2 * len(shape.faces) == 2 * len(faces)


def test_a_file_with_image_textures_is_textured(tmp_path: Path) -> None:
    text = "mtllib it.mtl\nusemtl skin\n" + dump_obj({"it": CUBE})
    material = "newmtl skin\nmap_Kd -s 1 1 1 skin.png\n"
    plain = open_single_shape(
        tmp_path / "plain", archive_files() | {"visual_geometry.obj": text.encode(), "it.mtl": b"newmtl skin\n"}
    )
    assert not visual_file(plain).is_textured
    files = archive_files() | {"visual_geometry.obj": text.encode(), "it.mtl": material.encode()}
    assert visual_file(open_single_shape(tmp_path / "own", files | {"skin.png": b""})).is_textured
    with pytest.raises(InputError, match=r"needs skin\.png, which is missing"):
        open_single_shape(tmp_path / "missing", files).visual_file("it")
    with pytest.raises(InputError, match="not a path inside its folder"):
        open_single_shape(tmp_path / "outside", files | {"it.mtl": b"map_Kd ../../skin.png\n"}).visual_file("it")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"visual_geometry.obj": b"v 0 0 nan\nf 1 1 1\n"}, "visual_geometry.obj cannot be read"),
        ({"visual_geometry.obj": b"v 0 0 0\nf 1 2 3\n"}, "visual_geometry.obj cannot be read"),
        ({"visual_geometry.obj": b"\x00\x01 a mesh"}, "no faces"),
        ({"collision_geometry.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"}, "flat or has no size"),
    ],
)
def test_damaged_shapes_are_named_in_one_line(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_single_shape(tmp_path, archive_files() | files).asset("it")
    assert "it.tar.gz" in str(caught.value) and "\n" not in str(caught.value)


# Blender runs in a separate process: this file run as a script.


def open_box() -> tuple[str, Mesh]:
    """Return a box without its lid, far from the origin, as OBJ text with texture coordinates and as a mesh."""
    box = Mesh(CUBE.vertices, CUBE.faces[np.all(CUBE.vertices[CUBE.faces][:, :, 2] > 7.099, axis=1) == 0])
    assert len(box.faces) == 10
    lines = dump_obj({"box": box}).splitlines()
    corners = [f"{word}/1" for line in lines if line.startswith("f") for word in line.split()[1:]]
    faces = [f"f {' '.join(corners[k : k + 3])}" for k in range(0, len(corners), 3)]
    rest = [line for line in lines if not line.startswith("f")]
    return "\n".join(["mtllib it.mtl", *rest, "vt 0.5 0.5", "usemtl skin", *faces]) + "\n", box


def plain_image(colour: tuple[int, int, int]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.new("RGBA", (4, 4), (*colour, 40)).save(content, "png")  # almost transparent, which must not matter
    return content.getvalue()


def write_blender_assets(folder: Path) -> list[str]:
    """Write manifests of an open textured OBJ, a closed OBJ without texture, a turned GLB, and a grey sky."""
    import trimesh

    text, box = open_box()
    material = "newmtl skin\nKd 1 1 1\nmap_Kd skin.png\nmap_d skin.png\n"
    files = archive_files(box) | {
        "it.mtl": material.encode(),
        "skin.png": plain_image((0, 200, 0)),
        "visual_geometry.obj": text.encode(),
    }
    pack(folder / "open.tar.gz", files, folder="open")
    pack(folder / "closed.tar.gz", archive_files())
    scene = trimesh.Scene()
    ring = trimesh.creation.torus(2.0, 0.5, major_sections=24, minor_sections=12)
    turn = trimesh.transformations.rotation_matrix(0.7, (1, 2, 3), (4, 5, 6))
    scene.add_geometry(ring, transform=turn)
    hull = scene.to_mesh().convex_hull
    solid = dump_obj({"hull": Mesh(np.asarray(hull.vertices), np.asarray(hull.faces))})
    glb = scene.export(file_type="glb")
    pack(folder / "ring.tar.gz", {"visual_geometry.glb": glb, "collision_geometry.obj": solid.encode()})
    sky = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 8\n" + bytes((128, 128, 128, 128)) * 32
    pack(folder / "grey.tar.gz", {"environment_4k.hdr": sky})
    shapes = {name: shape_entry("box", splits=SPLITS) for name in ("open", "closed", "ring")}
    shapes["ring"]["kwargs"]["render_filename"] = "{asset_dir}/visual_geometry.glb"
    return [write_asset_manifest(folder, shapes), write_asset_manifest(folder, {"grey": map_entry()}, "HDRI_haven")]


def blender_scene() -> SceneSpec:
    red = Material((0.7, 0.02, 0.02), 0.8, 0.0, "plain", (0.7, 0.02, 0.02), 1.0)
    grey = Material((0.4, 0.4, 0.4), 0.8, 0.0, "plain", (0.4, 0.4, 0.4), 1.0)
    turned = (np.cos(0.3), 0.0, np.sin(0.3) * 0.6, np.sin(0.3) * 0.8)
    places = {"open": (0.0, -1.1, 0.8), "closed": (-0.4, 0.3, 0.9), "ring": (0.6, 1.2, 1.0)}
    objects = tuple(
        ObjectSpec(k + 1, name, "box", "", (1.3, 1.0, 1.2), 1.0, red, (Pose(where, turned),))
        for k, (name, where) in enumerate(places.items())
    )
    camera = CameraSpec(35.0, 32.0, ((4.0, 0.5, 3.5),), ((0.0, 0.1, 0.7),))
    light = LightSpec((0.5, -0.3, 0.8), 2.0, "grey", 0.5, 1.0, grey)
    return SceneSpec(0, "train", "movid_a", 192, 1, 12.0, objects, camera, light)


@pytest.mark.blender
@needs_assets
def test_rendered_files_agree_with_their_meshes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    out = tmp_path / "rendered.npz"
    done = subprocess.run(
        [sys.executable, __file__, str(out)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with np.load(out, allow_pickle=False) as saved:
        seen, rgb, alone = saved["segmentation"][0], saved["rgb"][0].astype(float), saved["isolated"][:, 0]
    spec = blender_scene()
    library = open_library(write_blender_assets(tmp_path / "again"), tmp_path / "cache")
    meshes = [library.asset(thing.asset).mesh for thing in spec.objects]
    vertices = [place(mesh, thing.scale, thing.poses[0]) for mesh, thing in zip(meshes, spec.objects, strict=True)]
    depth = rasterize(vertices, [mesh.faces for mesh in meshes], spec.camera, 0, spec.size)
    visible, amodal = visible_and_amodal(depth)
    for k, thing in enumerate(spec.objects):
        for mask, truth in ((seen == thing.id, visible[k]), (alone[k], amodal[k])):
            assert truth.sum() > 500 and np.sum(mask & truth) / np.sum(mask | truth) >= 0.99, thing.asset
    textured, plain = rgb[seen == 1].mean(axis=0), rgb[seen == 2].mean(axis=0)
    assert textured[1] > 2 * max(textured[0], textured[2])  # the green image
    assert plain[0] > 2 * max(plain[1], plain[2])  # the red material


def render(out: Path) -> None:
    from dataset_gen.render import isolated_masks, render_scene

    library = open_library(write_blender_assets(out.parent / "assets"), out.parent / "cache")
    spec = blender_scene()
    meshes = {thing.asset: library.asset(thing.asset).mesh for thing in spec.objects}
    rendered = render_scene(spec, meshes, out.parent, 4, library)
    np.savez(out, **vars(rendered), isolated=isolated_masks(spec, meshes, out.parent, [0], library))


if __name__ == "__main__":
    render(Path(sys.argv[1]))
