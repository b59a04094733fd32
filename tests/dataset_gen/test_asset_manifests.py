"""Kubric's asset manifests: parsing, splits and locations."""

from __future__ import annotations

import functools
import http.server
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_gen.asset_manifests import split_of
from dataset_gen.assets import SPLITS, reserved_ids
from dataset_gen.library import open_library
from tests.dataset_gen.asset_files import archive_files, is_same_mesh, pack, shape_entry, write_asset_manifest
from vidamodal.types import InputError


@settings(max_examples=25)
@given(st.text(), st.lists(st.sampled_from(sorted(reserved_ids())), max_size=3))
def test_every_id_is_in_one_split_and_reserved_ones_in_none(name: str, reserved: list[str]) -> None:
    assert split_of(name) in SPLITS and split_of(name) == split_of(name)
    with tempfile.TemporaryDirectory() as folder:
        safe = {f"shape_{k}": shape_entry("shoe") for k in range(40)}
        library = open_library(
            [write_asset_manifest(Path(folder), safe | {key: shape_entry() for key in reserved})], Path("none")
        )
        found = [key for split in SPLITS for ids in library.ids(split).values() for key in ids]
        assert sorted(found) == sorted(safe)


def test_splits_have_their_fractions_of_many_ids_and_all_have_shapes_of_kubasic() -> None:
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


def test_archives_with_a_folder_and_manifests_with_other_data_dirs(tmp_path: Path) -> None:
    pack(tmp_path / "far" / "it.tar.gz", archive_files(), folder="it")
    manifest = write_asset_manifest(tmp_path / "near", {"it": shape_entry("shoe")}, data_dir="../far")
    assert open_library([manifest], tmp_path / "a").asset("it").label == "shoe"
    pack(tmp_path / "near" / "it.tar.gz", archive_files())  # a local copy of a bucket still names the bucket
    manifest = write_asset_manifest(
        tmp_path / "near", {"it": shape_entry("shoe")}, data_dir="gs://no-such-bucket/KuBasic"
    )
    assert open_library([manifest], tmp_path / "b").asset("it").label == "shoe"


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"assets": []}', '{"assets": {"a": 1}}', '{"assets": {"a": {"asset_type": "Sound"}}}',
     '{"assets": {"../a": {"asset_type": "Texture", "kwargs": {"filename": "a"}}}}',
     '{"assets": {"a": {"asset_type": "Texture", "kwargs": {"filename": "../a"}}}}',
     '{"assets": {"a": {"asset_type": "Texture", "kwargs": {"filename": "a"}, "metadata": {"splits": ["dev"]}}}}'],
)  # fmt: skip
def test_other_files_are_refused_in_one_line(tmp_path: Path, document: str) -> None:
    path = tmp_path / "it.json"
    path.write_text(document)
    with pytest.raises(InputError) as caught:
        open_library([str(path)], tmp_path / "cache")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_address[1]}"
        serving.shutdown()


def test_a_manifest_and_its_archives_from_a_server(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    pack(tmp_path / "bucket" / "a b.tar.gz", archive_files())
    write_asset_manifest(tmp_path / "bucket", {"a b": shape_entry("shoe")}, data_dir=f"{server}/bucket")
    library = open_library([f"{server}/bucket/KuBasic.json"], tmp_path / "cache")
    assert library.asset("a b").label == "shoe"
    with pytest.raises(InputError, match=r"nothing\.json: cannot be read \((Not Found|File not found)"):
        open_library([f"{server}/nothing.json"], tmp_path / "cache")
    (tmp_path / "bucket" / "a b.tar.gz").unlink()
    again = open_library([f"{server}/bucket/KuBasic.json"], tmp_path / "again")
    assert is_same_mesh(again.asset("a b").mesh, library.asset("a b").mesh)  # it was downloaded before
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"a b\.tar\.gz: cannot be read \((Not Found|File not found)"):
        open_library([f"{server}/bucket/KuBasic.json"], tmp_path / "new").asset("a b")


def test_an_unreachable_server_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/a\.json: cannot be read") as caught:
        open_library(["http://127.0.0.1:9/a.json"], tmp_path)
    assert "\n" not in str(caught.value)
