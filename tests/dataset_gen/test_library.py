"""Libraries of shapes and environment maps from manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataset_gen.__main__ import main
from dataset_gen.assets import SPLITS, asset_ids, load_asset
from dataset_gen.library import open_library
from dataset_gen.scenes import sample_scene
from tests.dataset_gen.asset_files import archive_files, map_entry, pack, shape_entry, write_asset_manifest
from tests.dataset_gen.helpers import needs_assets
from vidamodal.types import InputError


def test_maps_of_a_manifest_replace_blenders_maps_but_not_the_shapes(tmp_path: Path) -> None:
    names = [f"map_{k}" for k in range(30)]
    for name in names:
        pack(tmp_path / f"{name}.tar.gz", {"data.json": b"{}", "environment_4k.hdr": name.encode()})
    manifest = write_asset_manifest(tmp_path, {name: map_entry() for name in names}, "HDRI_haven")
    library = open_library([manifest], tmp_path / "cache")
    assert sorted(name for split in SPLITS for name in library.maps(split)) == sorted(names)
    assert library.ids("train") == asset_ids("train") and library.asset("mug/0000") is load_asset("mug/0000")
    assert library.map_file("map_7").read_bytes() == b"map_7"
    with pytest.raises(InputError, match="no environment map 'city'"):
        library.map_file("city")


def test_scenes_of_a_manifest_use_its_assets_only(tmp_path: Path) -> None:
    names = [f"shape_{k}" for k in range(30)]
    for name in names:
        pack(tmp_path / "set" / f"{name}.tar.gz", archive_files())
    objects = write_asset_manifest(tmp_path / "set", {name: shape_entry("shoe") for name in names})
    pack(tmp_path / "set" / "dawn.tar.gz", {"data.json": b"{}", "environment_4k.hdr": b""})
    maps = write_asset_manifest(tmp_path / "set", {"dawn": {**map_entry(), "metadata": {"splits": ["test"]}}}, "maps")
    library = open_library([objects, maps], tmp_path / "cache")
    for preset in ("movid_a", "movi_b"):
        scene = sample_scene(preset, "test", 3, 64, 2, library)
        assert {thing.asset for thing in scene.objects} <= set(library.ids("test")["shoe"])
        assert {thing.label for thing in scene.objects} == {"shoe"} and scene.light.hdri == "dawn"
    with pytest.raises(InputError, match="no map is in the split 'train'"):
        sample_scene("movid_a", "train", 3, 64, 2, library)
    assert library.identity.count("sha256:") == 2 and str(tmp_path) not in library.identity


def test_two_manifests_may_not_share_an_id(tmp_path: Path) -> None:
    both = [write_asset_manifest(tmp_path / name, {"it": shape_entry()}) for name in "ab"]
    with pytest.raises(InputError, match="'it' is in another manifest"):
        open_library(both, tmp_path / "cache")


FLAGS = ("--scenes", "1", "--seed", "0", "--masks-only", "--quiet")


@needs_assets
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
    write_asset_manifest(tmp_path, {"sky": {**map_entry(), "metadata": {"splits": ["train"]}}}, "maps")
    write_asset_manifest(tmp_path, {"lost": shape_entry(splits=SPLITS)}, "shapes")
    words = [word.format(folder=tmp_path) for word in arguments]
    base = ["--out", str(tmp_path / "set"), *FLAGS]
    assert main([*base, *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert not (tmp_path / "set" / "manifest.json").exists()
