"""Libraries of assets: Kubric's manifests read, the offline assets written as one, files against their meshes."""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.__main__ import main as command
from dataset_gen.assets import SPLITS, THING, asset, asset_ids, convex, dump_obj, read_obj, reserved_ids
from dataset_gen.library import OFFLINE, Library, is_closed, open_library, split_of
from dataset_gen.sample import sample_scene
from vidamodal.types import InputError
from vidamodal.worlds.rasterize import rasterize, visible_and_amodal
from vidamodal.worlds.spec import CameraSpec, LightSpec, Material, Mesh, ObjectSpec, Pose, SceneSpec, place

ROOT = Path(__file__).parents[2]
needs_datagen = pytest.mark.needs("pybullet", "kubric", "trimesh", "bpy")

CUBE = convex(np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]) * (0.3, 0.2, 0.1) + (5.0, 6.0, 7.0))
"""A box far from the origin, 0.3 m long."""


def files_of(shape: Mesh = CUBE, **more: bytes | str) -> dict[str, bytes]:
    """What Kubric's archives of objects hold."""
    text = dump_obj({"part": shape})
    files = {"data.json": "{}", "object.urdf": "", "visual_geometry.obj": text, "collision_geometry.obj": text}
    return {name: text.encode() if isinstance(text, str) else text for name, text in (files | more).items()}


def pack(path: Path, files: Mapping[str, bytes], folder: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        if folder:
            info = tarfile.TarInfo(folder)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}" if folder else name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def entry(category: str | None = None, **metadata: Any) -> dict[str, Any]:
    """As the buckets' manifests have it."""
    return {
        "asset_type": "FileBasedObject",
        "license": "CC BY-SA 4.0",
        "kwargs": {
            "bounds": [[-1, -1, -1], [1, 1, 1]],
            "mass": 1.0,
            "render_filename": "{asset_dir}/visual_geometry.obj",
            "simulation_filename": "{asset_dir}/object.urdf",
        },
        "metadata": {"nr_faces": 12, **({"category": category} if category else {}), **metadata},
    }


def environment() -> dict[str, Any]:
    kwargs = {"filename": "{asset_dir}/environment_4k.hdr"}
    return {"asset_type": "Texture", "license": "CC0 1.0", "kwargs": kwargs, "metadata": {"resolution": "4k"}}


def write_manifest(folder: Path, assets: Mapping[str, Any], name: str = "KuBasic", **more: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, "version": "1.0", "assets": assets, **more}))
    return str(path)


def one(folder: Path, files: Mapping[str, bytes], **more: Any) -> Library:
    """A library of one object, "it"."""
    pack(folder / "it.tar.gz", files)
    return open_library([write_manifest(folder, {"it": entry(splits=SPLITS), **more})], folder / "cache")


def same_mesh(a: Mesh, b: Mesh) -> bool:
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in ((a.vertices, b.vertices), (a.faces, b.faces)))


# Splits


@settings(max_examples=25, deadline=None)
@given(st.text(), st.lists(st.sampled_from(sorted(reserved_ids())), max_size=3))
def test_every_id_is_in_one_split_and_reserved_ones_in_none(name: str, reserved: list[str]) -> None:
    assert split_of(name) in SPLITS and split_of(name) == split_of(name)
    with tempfile.TemporaryDirectory() as folder:
        safe = {f"shape_{k}": entry("shoe") for k in range(40)}
        library = open_library([write_manifest(Path(folder), safe | {key: entry() for key in reserved})], Path("none"))
        found = [key for split in SPLITS for ids in library.ids(split).values() for key in ids]
        assert sorted(found) == sorted(safe)


def test_splits_of_many_ids_have_their_shares_and_kubasic_is_in_all() -> None:
    counts = [sum(split_of(f"Shoe_{k}") == split for k in range(3000)) / 3000 for split in SPLITS]
    np.testing.assert_allclose(counts, (0.7, 0.1, 0.2), atol=0.03)
    kubasic = (
        "cube",
        "cylinder",
        "sphere",
        "cone",
        "torus",
        "gear",
        "torus_knot",
        "sponge",
        "spot",
        "teapot",
        "suzanne",
    )
    assert {split_of(name) for name in kubasic} == set(SPLITS)


# Reading manifests


def test_a_shape_is_centred_and_a_metre_long_and_its_file_agrees(tmp_path: Path) -> None:
    library = one(tmp_path, files_of())
    shape, file = library.asset("it"), library.visual_file("it")
    assert (shape.label, shape.licence, shape.source) == ("thing", "CC BY-SA 4.0", "KuBasic 1.0")
    assert library.ids("test") == {THING: ("it",)}
    np.testing.assert_allclose(shape.mesh.vertices.max(axis=0), (0.5, 1 / 3, 1 / 6), atol=1e-6)
    np.testing.assert_allclose(shape.mesh.vertices.min(axis=0), (-0.5, -1 / 3, -1 / 6), atol=1e-6)
    assert file is not None and not file.textured and len(shape.mesh.faces) == 12
    (raw,) = read_obj(file.path.read_text())
    np.testing.assert_allclose((raw.vertices - file.centre) / file.longest, shape.mesh.vertices, atol=1e-6)


def test_archives_with_a_folder_and_manifests_with_other_data_dirs(tmp_path: Path) -> None:
    pack(tmp_path / "far" / "it.tar.gz", files_of(), folder="it")
    manifest = write_manifest(tmp_path / "near", {"it": entry("shoe")}, data_dir="../far")
    assert open_library([manifest], tmp_path / "a").asset("it").label == "shoe"
    pack(tmp_path / "near" / "it.tar.gz", files_of())  # a copy of a bucket still names the bucket
    manifest = write_manifest(tmp_path / "near", {"it": entry("shoe")}, data_dir="gs://no-such-bucket/KuBasic")
    assert open_library([manifest], tmp_path / "b").asset("it").label == "shoe"


def test_what_is_not_closed_is_made_two_sided(tmp_path: Path) -> None:
    lid = Mesh(CUBE.vertices, CUBE.faces[:-2])
    inside_out = Mesh(CUBE.vertices, CUBE.faces[:, ::-1])
    assert is_closed(CUBE) and not is_closed(lid) and not is_closed(inside_out)
    for k, shape in enumerate((lid, inside_out)):
        files = files_of() | {"visual_geometry.obj": dump_obj({"it": shape}).encode()}
        mesh = one(tmp_path / str(k), files).asset("it").mesh
        faces = {tuple(sorted(face)): 0 for face in mesh.faces.tolist()}
        assert len(mesh.faces) == 2 * len(shape.faces) == 2 * len(faces)


@needs_datagen
@settings(max_examples=60, deadline=None)
@given(st.sampled_from([name for split in SPLITS for ids in asset_ids(split).values() for name in ids]))
def test_offline_assets_are_closed_and_survive_obj(name: str) -> None:
    mesh = asset(name).mesh
    (again,) = read_obj(dump_obj({"it": mesh}))
    assert is_closed(mesh) and same_mesh(Mesh(again.vertices.astype(np.float32), again.faces), mesh)


def test_a_file_with_pictures_keeps_its_surface(tmp_path: Path) -> None:
    text = "mtllib it.mtl\nusemtl skin\n" + dump_obj({"it": CUBE})
    material = "newmtl skin\nmap_Kd -s 1 1 1 skin.png\n"
    plain = one(tmp_path / "plain", files_of() | {"visual_geometry.obj": text.encode(), "it.mtl": b"newmtl skin\n"})
    assert not plain.visual_file("it").textured
    files = files_of() | {"visual_geometry.obj": text.encode(), "it.mtl": material.encode()}
    assert one(tmp_path / "own", files | {"skin.png": b""}).visual_file("it").textured
    with pytest.raises(InputError, match="needs skin.png, which is missing"):
        one(tmp_path / "missing", files).visual_file("it")
    with pytest.raises(InputError, match="no path inside its folder"):
        one(tmp_path / "outside", files | {"it.mtl": b"map_Kd ../../skin.png\n"}).visual_file("it")


def test_maps_of_a_manifest_replace_blenders_and_shapes_stay(tmp_path: Path) -> None:
    names = [f"map_{k}" for k in range(30)]
    for name in names:
        pack(tmp_path / f"{name}.tar.gz", {"data.json": b"{}", "environment_4k.hdr": name.encode()})
    manifest = write_manifest(tmp_path, {name: environment() for name in names}, "HDRI_haven")
    library = open_library([manifest], tmp_path / "cache")
    assert sorted(name for split in SPLITS for name in library.maps(split)) == sorted(names)
    assert library.ids("train") == asset_ids("train") and library.asset("mug/0000") is asset("mug/0000")
    assert library.map_file("map_7").read_bytes() == b"map_7"
    with pytest.raises(InputError, match="unknown environment map 'city'"):
        library.map_file("city")


def test_scenes_of_a_manifest_draw_from_it_alone(tmp_path: Path) -> None:
    names = [f"shape_{k}" for k in range(30)]
    for name in names:
        pack(tmp_path / "set" / f"{name}.tar.gz", files_of())
    objects = write_manifest(tmp_path / "set", {name: entry("shoe") for name in names})
    pack(tmp_path / "set" / "dawn.tar.gz", {"data.json": b"{}", "environment_4k.hdr": b""})
    maps = write_manifest(tmp_path / "set", {"dawn": {**environment(), "metadata": {"splits": ["test"]}}}, "maps")
    library = open_library([objects, maps], tmp_path / "cache")
    for preset in ("movid_a", "movi_b"):
        scene = sample_scene(preset, "test", 3, 64, 2, library)
        assert {thing.asset for thing in scene.objects} <= set(library.ids("test")["shoe"])
        assert {thing.label for thing in scene.objects} == {"shoe"} and scene.light.hdri == "dawn"
    with pytest.raises(InputError, match="no map is in the split 'train'"):
        sample_scene("movid_a", "train", 3, 64, 2, library)
    assert library.identity.count("sha256:") == 2 and str(tmp_path) not in library.identity


# Damage


@pytest.mark.parametrize("name", ["/etc/it", "../it", "a/../../it", "C:/it", "a\\it", "it\n"])
def test_unsafe_members_of_an_archive_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    library = one(tmp_path, files_of() | {name: b"evil"})
    with pytest.raises(InputError, match="it.tar.gz.*no path inside its folder"):
        library.asset("it")
    assert not list((tmp_path / "cache").iterdir())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["..", "a", "b", ".", ""]), min_size=1, max_size=5), st.booleans())
def test_members_go_nowhere_but_into_the_folder(words: list[str], absolute: bool) -> None:
    name = "/" * absolute + "/".join(words)
    with tempfile.TemporaryDirectory() as folder:
        library = one(Path(folder), files_of() | ({name: b"content"} if name.strip("./") else {}))
        before = set(Path(folder).rglob("*"))
        try:
            library.asset("it")
        except InputError:
            assert name.startswith("/") or ".." in words
        made = set(Path(folder).rglob("*")) - before
        assert all(path.is_relative_to(Path(folder, "cache")) for path in made)


def test_links_in_an_archive_are_refused(tmp_path: Path) -> None:
    library = one(tmp_path, files_of())
    with tarfile.open(tmp_path / "it.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("visual_geometry.obj")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(InputError, match="is no plain file"):
        library.asset("it")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"visual_geometry.obj": b"v 0 0 nan\nf 1 1 1\n"}, "visual_geometry.obj cannot be read"),
        ({"visual_geometry.obj": b"v 0 0 0\nf 1 2 3\n"}, "visual_geometry.obj cannot be read"),
        ({"visual_geometry.obj": b"\x00\x01 a mesh"}, "no faces"),
        ({"collision_geometry.obj": b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"}, "flat or has no size"),
    ],
)
def test_damaged_shapes_are_named_in_one_line(tmp_path: Path, files: Mapping[str, bytes], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        one(tmp_path, files_of() | files).asset("it")
    assert "it.tar.gz" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_damaged_archives_are_named_in_one_line(tmp_path: Path) -> None:
    files = files_of()
    del files["collision_geometry.obj"]
    with pytest.raises(InputError, match="holds no collision_geometry.obj"):
        one(tmp_path, files).asset("it")
    (tmp_path / "it.tar.gz").write_bytes((tmp_path / "it.tar.gz").read_bytes()[:-30])
    with pytest.raises(InputError, match="cannot be unpacked"):
        open_library([str(tmp_path / "KuBasic.json")], tmp_path / "other").asset("it")
    (tmp_path / "it.tar.gz").unlink()
    with pytest.raises(InputError, match="it.tar.gz: cannot be read .No such file"):
        open_library([str(tmp_path / "KuBasic.json")], tmp_path / "other").asset("it")


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"assets": []}', '{"assets": {"a": 1}}', '{"assets": {"a": {"asset_type": "Sound"}}}',
     '{"assets": {"../a": {"asset_type": "Texture", "kwargs": {"filename": "a"}}}}',
     '{"assets": {"a": {"asset_type": "Texture", "kwargs": {"filename": "../a"}}}}',
     '{"assets": {"a": {"asset_type": "Texture", "kwargs": {"filename": "a"}, "metadata": {"splits": ["dev"]}}}}'],
)  # fmt: skip
def test_what_is_no_manifest_is_refused_in_one_line(tmp_path: Path, document: str) -> None:
    path = tmp_path / "it.json"
    path.write_text(document)
    with pytest.raises(InputError) as caught:
        open_library([str(path)], tmp_path / "cache")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_two_manifests_may_not_share_an_id(tmp_path: Path) -> None:
    both = [write_manifest(tmp_path / name, {"it": entry()}) for name in "ab"]
    with pytest.raises(InputError, match="'it' stands in another manifest"):
        open_library(both, tmp_path / "cache")


# By the network, as public buckets are read


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def test_a_manifest_and_its_archives_by_address(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    pack(tmp_path / "bucket" / "a b.tar.gz", files_of())
    write_manifest(tmp_path / "bucket", {"a b": entry("shoe")}, data_dir=f"{server}/bucket")
    library = open_library([f"{server}/bucket/KuBasic.json"], tmp_path / "cache")
    assert library.asset("a b").label == "shoe"
    with pytest.raises(InputError, match="nothing.json: cannot be read .(Not Found|File not found)"):
        open_library([f"{server}/nothing.json"], tmp_path / "cache")
    (tmp_path / "bucket" / "a b.tar.gz").unlink()
    again = open_library([f"{server}/bucket/KuBasic.json"], tmp_path / "again")
    assert same_mesh(again.asset("a b").mesh, library.asset("a b").mesh)  # it was fetched once
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(InputError, match="a b.tar.gz: cannot be read .(Not Found|File not found)"):
        open_library([f"{server}/bucket/KuBasic.json"], tmp_path / "new").asset("a b")


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="http://127.0.0.1:9/a.json: cannot be read") as caught:
        open_library(["http://127.0.0.1:9/a.json"], tmp_path)
    assert "\n" not in str(caught.value)


# The offline assets as a manifest


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataset_gen.catalogue import write_assets

    folder = tmp_path_factory.mktemp("assets") / "offline"
    write_assets(folder, limit=1, quiet=True)
    return folder


@needs_datagen
def test_exported_assets_come_back_as_they_were(exported: Path, tmp_path: Path) -> None:
    library = open_library([str(exported / "manifest.json")], tmp_path)
    for split in SPLITS:
        offline = {family: ids[:1] for family, ids in asset_ids(split).items()}
        assert library.ids(split) == offline and library.maps(split) == OFFLINE.maps(split)
        for (name,) in offline.values():
            mine, theirs = library.asset(name), asset(name)
            assert (mine.label, mine.licence, mine.source) == (theirs.label, theirs.licence, theirs.source)
            assert same_mesh(mine.mesh, theirs.mesh)
            assert all(same_mesh(a, b) for a, b in zip(mine.parts, theirs.parts, strict=True))
    assert library.map_file("forest").read_bytes() == OFFLINE.map_file("forest").read_bytes()


class Narrow(Library):
    """The offline assets that were exported."""

    def ids(self, split: str) -> Mapping[str, tuple[str, ...]]:
        return {family: ids[:1] for family, ids in asset_ids(split).items()}


@needs_datagen
def test_scenes_of_the_exported_manifest_are_the_offline_ones(exported: Path, tmp_path: Path) -> None:
    from dataset_gen.simulate import settle

    library = open_library([str(exported / "manifest.json")], tmp_path)
    scene = sample_scene("movid_a", "validation", 1, 64, 2, library)
    assert scene == sample_scene("movid_a", "validation", 1, 64, 2, Narrow())
    assert settle(scene, library) == settle(scene)


@needs_datagen
def test_export_is_the_same_every_time_and_whole_or_not_there(exported: Path, tmp_path: Path) -> None:
    from dataset_gen.catalogue import write_assets

    write_assets(tmp_path / "again", limit=1, quiet=True)
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert len(files) == 3 * 25 + 8 + 2
    assert all((exported / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)
    with pytest.raises(InputError, match="holds something else"):
        write_assets(exported, limit=1, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    table = (exported / "LICENCES.md").read_text()
    assert "| mug | shape | 1 | 1 | 1 | Apache-2.0 |" in table and "| thing | shape | 1 | 1 | 1 | zlib |" in table
    assert table.count("CC0-1.0 | Poly Haven") == 8


@needs_datagen
def test_kubric_itself_reads_the_exported_manifest(exported: Path) -> None:
    from dataset_gen.kubric_compat import kubric_imports

    with kubric_imports():
        import kubric as kb
    with kb.AssetSource.from_manifest(str(exported / "manifest.json")) as source:
        assert len(source.all_asset_ids) == 3 * 25 + 8 and "mug" in source.categories
        thing = source.create("mug/0000")
        assert Path(thing.render_filename).is_file() and Path(thing.simulation_filename).is_file()
        assert thing.metadata["category"] == "mug" and thing.mass > 0
        np.testing.assert_allclose(thing.bounds[1], asset("mug/0000").mesh.vertices.max(axis=0), atol=1e-5)
        assert Path(source.create("city").filename).is_file()


# Command line

FLAGS = ("--scenes", "1", "--seed", "0", "--masks-only", "--quiet")


@needs_datagen
def test_worlds_of_manifests_by_the_command_line(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(tmp_path / "sky.tar.gz", {"data.json": b"{}", "environment_4k.hdr": b""})
    sky = {"sky": {**environment(), "metadata": {"splits": ["test"]}}}
    (maps := tmp_path / "maps.json").write_text(json.dumps({"name": "maps", "assets": sky}))
    entries = json.loads((exported / "manifest.json").read_text())["assets"]
    narrow = {"name": "narrow", "data_dir": str(exported), "assets": {k: v for k, v in entries.items() if "/" in k}}
    (shapes := tmp_path / "shapes.json").write_text(json.dumps(narrow))
    base = ["--out", str(tmp_path / "set"), *FLAGS, "--split", "test"]
    assert command([*base, "--assets", f"{shapes},{maps}"]) == 0
    world = json.loads((tmp_path / "set" / "worlds.jsonl").read_text())
    used = {thing["asset"] for thing in world["objects"]}
    assert used <= {ids[0] for ids in asset_ids("test").values()} and world["light"]["hdri"] == "sky"
    manifest = (tmp_path / "set" / "manifest.json").read_text()
    assert "narrow sha256:" in manifest and str(tmp_path) not in manifest and str(exported) not in manifest
    assert command(base) == 2 and "holds another run (assets" in capsys.readouterr().err


@needs_datagen
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--assets", "nowhere.json"], "nowhere.json: cannot be read (No such file or directory)"),
        (["--assets", "http://127.0.0.1:9/GSO.json"], "http://127.0.0.1:9/GSO.json: cannot be read"),
        (["--assets", "{folder}/maps.json", "--split", "test"], "no map is in the split 'test'"),
        (["--assets", "{folder}/shapes.json"], "lost.tar.gz: cannot be read"),
    ],
)
def test_bad_manifests_are_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    write_manifest(tmp_path, {"sky": {**environment(), "metadata": {"splits": ["train"]}}}, "maps")
    write_manifest(tmp_path, {"lost": entry(splits=SPLITS)}, "shapes")
    words = [word.format(folder=tmp_path) for word in arguments]
    base = ["--out", str(tmp_path / "set"), *FLAGS]
    assert command([*base, *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert not (tmp_path / "set" / "manifest.json").exists()


def test_the_list_names_licence_and_source_of_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["assets", "--list"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert "| mug | shape | 200 | 40 | 60 | Apache-2.0 | dataset_gen |" in lines
    assert "| random_urdfs | shape | 490 | 70 | 139 | zlib | pybullet_data |" in lines
    assert all(line.count("|") == 8 and "|  |" not in line for line in lines)
    assert all(f"| {name} | " in printed for name in (*asset_ids("train"), *OFFLINE.maps("train"), "voronoi"))


# Blender, in a process of its own: this file run as a script


def open_box() -> tuple[str, Mesh]:
    """A box without its lid, 0.2 m wide and far from the origin, as an OBJ file with texture coordinates."""
    box = Mesh(CUBE.vertices, CUBE.faces[np.all(CUBE.vertices[CUBE.faces][:, :, 2] > 7.099, axis=1) == 0])
    assert len(box.faces) == 10
    lines = dump_obj({"box": box}).splitlines()
    corners = [f"{word}/1" for line in lines if line.startswith("f") for word in line.split()[1:]]
    faces = [f"f {' '.join(corners[k : k + 3])}" for k in range(0, len(corners), 3)]
    rest = [line for line in lines if not line.startswith("f")]
    return "\n".join(["mtllib it.mtl", *rest, "vt 0.5 0.5", "usemtl skin", *faces]) + "\n", box


def picture(colour: tuple[int, int, int]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.new("RGBA", (4, 4), (*colour, 40)).save(content, "png")  # nearly clear, which must not show
    return content.getvalue()


def write_blender_assets(folder: Path) -> list[str]:
    """An open textured OBJ, a closed OBJ without a surface, a turned GLB, and a grey sky."""
    import trimesh

    text, box = open_box()
    material = "newmtl skin\nKd 1 1 1\nmap_Kd skin.png\nmap_d skin.png\n"
    files = files_of(box, **{"it.mtl": material, "skin.png": picture((0, 200, 0)), "visual_geometry.obj": text})
    pack(folder / "open.tar.gz", files, folder="open")
    pack(folder / "closed.tar.gz", files_of())
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
    shapes = {name: entry("box", splits=SPLITS) for name in ("open", "closed", "ring")}
    shapes["ring"]["kwargs"]["render_filename"] = "{asset_dir}/visual_geometry.glb"
    return [write_manifest(folder, shapes), write_manifest(folder, {"grey": environment()}, "HDRI_haven")]


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
@needs_datagen
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
    own, ours = rgb[seen == 1].mean(axis=0), rgb[seen == 2].mean(axis=0)
    assert own[1] > 2 * max(own[0], own[2]) and ours[0] > 2 * max(ours[1], ours[2])  # green picture, red material


def main(out: Path) -> None:
    from dataset_gen.render import isolated_masks, render_scene

    library = open_library(write_blender_assets(out.parent / "assets"), out.parent / "cache")
    spec = blender_scene()
    meshes = {thing.asset: library.asset(thing.asset).mesh for thing in spec.objects}
    rendered = render_scene(spec, meshes, out.parent, 4, library)
    np.savez(out, **vars(rendered), isolated=isolated_masks(spec, meshes, out.parent, [0], library))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
