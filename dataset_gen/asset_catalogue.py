"""The command ``assets``: write the offline assets as one of Kubric's asset sources, or list licences and sources.

``python -m dataset_gen assets --out DIR`` writes ``manifest.json`` and an archive per asset. Kubric's
``AssetSource.from_manifest`` reads them like its public buckets.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dataset_gen.asset_archives import write_archive
from dataset_gen.assets import SPLITS, Asset, Split
from dataset_gen.library import OFFLINE, CatalogueRow, Library, open_library, open_temporary_library
from dataset_gen.meshes import dump_obj
from dataset_gen.options import PROGRAM, add_assets, at_least, check_installed, split_manifests
from vidamodal.commandline import Parser
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
    """Run ``python -m dataset_gen assets`` and return the exit status."""
    options = _parser().parse_args(arguments)
    if options.out:
        if options.assets:
            raise InputError("--assets: cannot be combined with --out, which writes the offline assets. Remove one.")
        check_installed("trimesh", "pybullet_data", "bpy")
        write_assets(options.out, [options.split] if options.split else SPLITS, options.limit, options.quiet)
        return 0
    if options.split or options.limit:
        raise InputError("--split and --limit: cannot be combined with --list, which lists everything. Remove them.")
    with open_temporary_library(split_manifests(options.assets)) as library:
        print(catalogue_table(library.rows()), end="")
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=f"{PROGRAM} assets",
        description="Write the offline assets as a Kubric manifest, or list assets with their licences and sources.\n\n"
        "examples:\n"
        f"  {PROGRAM} assets --list\n"
        f"  {PROGRAM} assets --out offline-assets --split test --limit 10\n",
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--out", type=Path, metavar="DIR", help="new or empty folder for a manifest and its archives")
    action.add_argument("--list", action="store_true", help="print all assets with their licences and sources")
    add_assets(parser)
    parser.add_argument("--split", choices=SPLITS, help="write the assets of one split only")
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="write at most N assets per family and split")
    parser.add_argument("--quiet", action="store_true", help="show no progress bar")
    return parser


def catalogue_table(rows: Iterable[CatalogueRow]) -> str:
    """Return the contents of a library as a Markdown table."""
    lines = [f"| name | kind | {' | '.join(SPLITS)} | licence | source |", f"|{'---|' * (len(SPLITS) + 4)}"]
    for row in rows:
        cells = [row.name, row.kind, *map(str, row.counts), row.licence, row.source]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def write_assets(out: Path, splits: Sequence[Split] = SPLITS, limit: int | None = None, quiet: bool = False) -> None:
    """Write ``manifest.json``, ``LICENCES.md`` and ``<id>.tar.gz`` files, with the same bytes every time.

    Args:
        out: New or empty folder. It appears complete or not at all.
        splits: Splits to write.
        limit: Largest number of assets per family and split; None for all.
        quiet: True for no progress bar.

    Raises:
        InputError: ``out`` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: contains other files. Use a new or empty folder.")
    shapes: dict[str, Split] = {
        name: split for split in splits for ids in OFFLINE.ids(split).values() for name in ids[:limit]
    }
    maps = sorted({name for split in splits for name in OFFLINE.maps(split)})
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        folder = Path(scratch, out.name)
        entries = {}
        for name, split in tqdm(sorted(shapes.items()), unit="asset", disable=quiet):
            entries[name] = _write_shape(folder, OFFLINE.asset(name), split)
        for name in maps:
            entries[name] = _write_map(folder, OFFLINE, name, splits)
        document = {"name": NAME, "version": VERSION, "assets": entries}
        (folder / "manifest.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
        licences = catalogue_table(open_library([str(folder / "manifest.json")], Path(scratch)).rows())
        (folder / "LICENCES.md").write_text(f"# Licences and sources\n\n{licences}", "utf-8")
        os.sync()  # one call for thousands of files
        folder.rename(out)


def _write_shape(folder: Path, shape: Asset, split: Split) -> dict[str, Any]:
    import trimesh

    solid = trimesh.Trimesh(shape.mesh.vertices, shape.mesh.faces, process=False)
    mass = _rounded(solid.volume)  # 1 kg per cubic metre, as in Kubric's converter
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
            "splits": [split],
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
    write_archive(folder / f"{shape.id}.tar.gz", files)
    return entry


def _write_map(folder: Path, library: Library, name: str, splits: Sequence[Split]) -> dict[str, Any]:
    (row,) = (row for row in library.rows() if row.name == name)
    entry = {
        "id": name,
        "asset_type": "Texture",
        "license": row.licence,
        "kwargs": {"filename": "{asset_dir}/environment.exr"},
        "metadata": {"category": "environment", "source": row.source, "splits": list(splits)},
    }
    content = library.map_file(name).read_bytes()
    write_archive(folder / f"{name}.tar.gz", {"data.json": _json(entry), "environment.exr": content})
    return entry


def _json(entry: Mapping[str, Any]) -> bytes:
    return (json.dumps(entry, indent=1) + "\n").encode()


def _rounded(values: np.ndarray | np.floating[Any]) -> Any:
    return (values.round(6) + 0.0).tolist()  # + 0.0 avoids minus zero
