"""The offline assets written out as one of Kubric's asset sources, and where all of them come from.

``python -m dataset_gen assets --out DIR`` writes ``manifest.json`` and an archive for each asset, which Kubric's own
``AssetSource.from_manifest`` reads as it reads its public buckets; ``--list`` prints licences and sources.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from dataset_gen.assets import SPLITS, Asset, dump_obj
from dataset_gen.library import OFFLINE, Library, Row, borrow_library, open_library
from dataset_gen.options import PROGRAM, Parser, add_assets, at_least, check_installed
from vidamodal.types import InputError

NAME, VERSION = "vidamodal-offline", "1"

_URDF = """<robot name="{name}">
  <link name="base">
    <contact>
      <lateral_friction value="0.8"/>
    </contact>
    <inertial>
      <origin xyz="{centre[0]} {centre[1]} {centre[2]}"/>
      <mass value="{mass}"/>
      <inertia ixx="{inertia[0][0]}" ixy="{inertia[0][1]}" ixz="{inertia[0][2]}"
               iyy="{inertia[1][1]}" iyz="{inertia[1][2]}" izz="{inertia[2][2]}"/>
    </inertial>
    <visual>
      <geometry><mesh filename="visual_geometry.obj"/></geometry>
    </visual>
    <collision>
      <geometry><mesh filename="collision_geometry.obj"/></geometry>
    </collision>
  </link>
</robot>
"""


def main(arguments: Sequence[str]) -> int:
    """Run ``python -m dataset_gen assets``; returns the exit status. Raises InputError for bad arguments."""
    parser = Parser(
        prog=f"{PROGRAM} assets", description="Write the offline assets as a Kubric manifest, or list them."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="DIR", help="new or empty folder for a manifest and its archives")
    what.add_argument("--list", action="store_true", help="print what there is, with licences and sources")
    add_assets(parser)
    parser.add_argument("--split", choices=SPLITS, help="write those of one split (default: all)")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="write at most N of each family and split")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.out:
        if options.assets:
            raise InputError("--assets: --out writes the offline assets; leave out one of the two")
        check_installed("trimesh", "pybullet_data", "bpy")
        write_assets(options.out, [options.split] if options.split else SPLITS, options.limit, options.quiet)
        return 0
    if options.split or options.limit:
        raise InputError("--list: all is listed; leave out --split and --limit")
    with borrow_library(options.assets) as library:
        print(table(library.rows()), end="")
    return 0


def table(rows: Iterable[Row]) -> str:
    """What a library holds, as a Markdown table."""
    lines = [f"| name | kind | {' | '.join(SPLITS)} | licence | source |", f"|{'---|' * (len(SPLITS) + 4)}"]
    for row in rows:
        cells = [row.name, row.kind, *map(str, row.counts), row.licence, row.source]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def write_assets(out: Path, splits: Sequence[str] = SPLITS, limit: int | None = None, quiet: bool = False) -> None:
    """Write ``manifest.json``, ``LICENCES.md`` and ``<id>.tar.gz`` files into ``out``; the same bytes every time.

    At most ``limit`` assets of each family and split. ``out`` appears whole; InputError where it holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: holds something else; give a new or empty folder")
    shapes = {name: [split] for split in splits for ids in OFFLINE.ids(split).values() for name in ids[:limit]}
    maps = sorted({name for split in splits for name in OFFLINE.maps(split)})
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch, out.name)
        entries = {}
        for name, of in tqdm(sorted(shapes.items()), unit="asset", disable=quiet):
            entries[name] = _write_shape(folder, OFFLINE.asset(name), of)
        for name in maps:
            entries[name] = _write_map(folder, OFFLINE, name, list(splits))
        document = {"name": NAME, "version": VERSION, "assets": entries}
        (folder / "manifest.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        licences = table(open_library([str(folder / "manifest.json")], Path(scratch)).rows())
        (folder / "LICENCES.md").write_text(f"# Licences and sources\n\n{licences}", "utf-8")
        os.sync()  # one for thousands of files
        folder.rename(out)


def _write_shape(folder: Path, shape: Asset, splits: list[str]) -> dict[str, Any]:
    import trimesh

    solid = trimesh.Trimesh(shape.mesh.vertices, shape.mesh.faces, process=False)
    mass = _rounded(solid.volume)  # as Kubric's converter has it: 1 kg a cubic metre
    entry = {
        "id": shape.id,
        "asset_type": "FileBasedObject",
        "license": shape.licence,
        "kwargs": {
            "bounds": _rounded(solid.bounds),
            "mass": mass,
            "render_filename": "{asset_dir}/visual_geometry.obj",
            "simulation_filename": "{asset_dir}/object.urdf",
            "render_import_kwargs": {"axis_forward": "Y", "axis_up": "Z"},
        },
        "metadata": {
            "category": shape.label,
            "source": shape.source,
            "splits": splits,
            "nr_vertices": len(solid.vertices),
            "nr_faces": len(solid.faces),
            "volume": mass,
            "surface_area": _rounded(solid.area),
        },
    }
    centre, inertia = _rounded(solid.center_mass), _rounded(solid.moment_inertia)
    files = {
        "data.json": _json(entry),
        "visual_geometry.obj": dump_obj({"visual": shape.mesh}).encode(),
        "collision_geometry.obj": dump_obj({f"part_{k}": part for k, part in enumerate(shape.parts)}).encode(),
        "object.urdf": _URDF.format(name=shape.id, mass=mass, centre=centre, inertia=inertia).encode(),
    }
    _write_archive(folder / f"{shape.id}.tar.gz", files)
    return entry


def _write_map(folder: Path, library: Library, name: str, splits: list[str]) -> dict[str, Any]:
    (row,) = (row for row in library.rows() if row.name == name)
    entry = {
        "id": name,
        "asset_type": "Texture",
        "license": row.licence,
        "kwargs": {"filename": "{asset_dir}/environment.exr"},
        "metadata": {"category": "environment", "source": row.source, "splits": splits},
    }
    content = library.map_file(name).read_bytes()
    _write_archive(folder / f"{name}.tar.gz", {"data.json": _json(entry), "environment.exr": content})
    return entry


def _json(entry: Mapping[str, Any]) -> bytes:
    return (json.dumps(entry, indent=1) + "\n").encode()


def _rounded(values: Any) -> Any:
    return (values.round(6) + 0.0).tolist()  # + 0.0: no minus zero


def _write_archive(path: Path, files: Mapping[str, bytes]) -> None:
    """A gzipped tar with constant headers."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))
