"""The command `assets`: the offline assets as a manifest, and the list of licences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from dataset_gen.__main__ import main
from dataset_gen.assets import SPLITS, Split, asset_ids, load_asset
from dataset_gen.library import OFFLINE, Library, open_library
from dataset_gen.scenes import sample_scene
from tests.dataset_gen.asset_files import is_same_mesh, map_entry, pack
from tests.dataset_gen.helpers import needs_assets
from vidamodal.types import InputError


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from dataset_gen.asset_catalogue import write_assets

    folder = tmp_path_factory.mktemp("assets") / "offline"
    write_assets(folder, limit=1, quiet=True)
    return folder


@needs_assets
def test_written_assets_are_read_back_unchanged(exported: Path, tmp_path: Path) -> None:
    library = open_library([str(exported / "manifest.json")], tmp_path)
    for split in SPLITS:
        offline = {family: ids[:1] for family, ids in asset_ids(split).items()}
        assert library.ids(split) == offline and library.maps(split) == OFFLINE.maps(split)
        for (name,) in offline.values():
            mine, theirs = library.asset(name), load_asset(name)
            assert (mine.label, mine.licence, mine.source) == (theirs.label, theirs.licence, theirs.source)
            assert is_same_mesh(mine.mesh, theirs.mesh)
            assert all(is_same_mesh(a, b) for a, b in zip(mine.parts, theirs.parts, strict=True))
    assert library.map_file("forest").read_bytes() == OFFLINE.map_file("forest").read_bytes()


class Narrow(Library):
    """The exported part of the offline assets."""

    def ids(self, split: Split) -> Mapping[str, tuple[str, ...]]:
        return {family: ids[:1] for family, ids in asset_ids(split).items()}


@needs_assets
def test_scenes_of_the_written_manifest_are_the_offline_ones(exported: Path, tmp_path: Path) -> None:
    from dataset_gen.simulate import settle

    library = open_library([str(exported / "manifest.json")], tmp_path)
    scene = sample_scene("movid_a", "validation", 1, 64, 2, library)
    assert scene == sample_scene("movid_a", "validation", 1, 64, 2, Narrow())
    assert settle(scene, library) == settle(scene)


@needs_assets
def test_written_assets_have_the_same_bytes_and_appear_complete(exported: Path, tmp_path: Path) -> None:
    from dataset_gen.asset_catalogue import write_assets

    write_assets(tmp_path / "again", limit=1, quiet=True)
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert len(files) == 3 * 25 + 8 + 2
    assert all((exported / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)
    with pytest.raises(InputError, match="contains other files"):
        write_assets(exported, limit=1, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    table = (exported / "LICENCES.md").read_text()
    assert "| mug | shape | 1 | 1 | 1 | Apache-2.0 |" in table and "| thing | shape | 1 | 1 | 1 | zlib |" in table
    assert table.count("CC0-1.0 | Poly Haven") == 8


@needs_assets
def test_kubric_reads_the_written_manifest(exported: Path) -> None:
    from dataset_gen.kubric_compat import kubric_imports

    with kubric_imports():
        import kubric as kb
    with kb.AssetSource.from_manifest(str(exported / "manifest.json")) as source:
        assert len(source.all_asset_ids) == 3 * 25 + 8 and "mug" in source.categories
        thing = source.create("mug/0000")
        assert Path(thing.render_filename).is_file() and Path(thing.simulation_filename).is_file()
        assert thing.metadata["category"] == "mug" and thing.mass > 0
        np.testing.assert_allclose(thing.bounds[1], load_asset("mug/0000").mesh.vertices.max(axis=0), atol=1e-5)
        assert Path(source.create("city").filename).is_file()


FLAGS = ("--scenes", "1", "--seed", "0", "--masks-only", "--quiet")


@needs_assets
def test_mask_only_worlds_of_manifests(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack(tmp_path / "sky.tar.gz", {"data.json": b"{}", "environment_4k.hdr": b""})
    sky = {"sky": {**map_entry(), "metadata": {"splits": ["test"]}}}
    (maps := tmp_path / "maps.json").write_text(json.dumps({"name": "maps", "assets": sky}))
    entries = json.loads((exported / "manifest.json").read_text())["assets"]
    narrow = {"name": "narrow", "data_dir": str(exported), "assets": {k: v for k, v in entries.items() if "/" in k}}
    (shapes := tmp_path / "shapes.json").write_text(json.dumps(narrow))
    base = ["--out", str(tmp_path / "set"), *FLAGS, "--split", "test"]
    assert main([*base, "--assets", f"{shapes},{maps}"]) == 0
    world = json.loads((tmp_path / "set" / "worlds.jsonl").read_text())
    used = {thing["asset"] for thing in world["objects"]}
    assert used <= {ids[0] for ids in asset_ids("test").values()} and world["light"]["hdri"] == "sky"
    manifest = (tmp_path / "set" / "manifest.json").read_text()
    assert "narrow sha256:" in manifest and str(tmp_path) not in manifest and str(exported) not in manifest
    assert main(base) == 2 and "holds a different run (assets" in capsys.readouterr().err


def test_the_list_names_licence_and_source_of_every_asset(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assets", "--list"]) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert "| mug | shape | 200 | 40 | 60 | Apache-2.0 | dataset_gen |" in lines
    assert "| random_urdfs | shape | 490 | 70 | 139 | zlib | pybullet_data |" in lines
    assert all(line.count("|") == 8 and "|  |" not in line for line in lines)
    assert all(f"| {name} | " in printed for name in (*asset_ids("train"), *OFFLINE.maps("train"), "voronoi"))
