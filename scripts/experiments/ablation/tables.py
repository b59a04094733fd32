"""The tables of a page: YAML files beside this module, `NAME.yaml` for docs/results/NAME.md.

A page has a title, a base config, data sets (``sets``) and tables. A table names its data sets, its measures and its
rows, and may have another base and a note.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from vidamodal.errors import InputError
from vidamodal.formats import Clip, find_dataset

FOLDER = Path(__file__).parent
MEASURES_SHOWN = ("full", "occ", "hidden", "false_completion", "flicker")


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: Name of the row.
        set: Options of the training, by key.
        use: Settings of the trained model that are changed for prediction.
        seeds: Seeds of the trainings to average over.
        base: Config to train from, in place of the table's.
        model: Folder or name of a finished model, in place of a training.
        head: Head of the finished model.
    """

    name: str
    set: Mapping[str, Any] = field(default_factory=dict)
    use: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)
    base: str | None = None
    model: str | None = None
    head: str | None = None


@dataclass(frozen=True)
class DataSet:
    """Clips to score on.

    Attributes:
        path: The data set, or several separated by commas.
        clips: Number of clips of each, from its beginning.
        frames: Number of frames of each clip, for segmenters.
    """

    path: str
    clips: int
    frames: int | None = None

    def first_clips(self) -> Iterator[tuple[str, Clip]]:
        """Yield the clips to score with their keys, which begin with the data set if there are several."""
        paths = [Path(path) for path in self.path.split(",")]
        for path in paths:
            for key, clip in islice(find_dataset(path).clips.items(), self.clips):
                yield f"{path.name}/{key}" if len(paths) > 1 else key, clip


@dataclass(frozen=True)
class Table:
    """A table of a page."""

    name: str
    base: str
    data: Sequence[str]
    rows: Sequence[Row]
    measures: Sequence[str] = MEASURES_SHOWN
    note: str = ""
    fit: bool = False
    """Show the size and length of each row's training, and fit the scores to them."""

    def base_of(self, row: Row) -> str:
        """Return the config that a row is trained from."""
        return row.base or self.base


@dataclass(frozen=True)
class Page:
    """All tables of a page."""

    name: str
    title: str
    base: str
    sets: Mapping[str, DataSet]
    tables: Sequence[Table]


def page_names() -> list[str]:
    """Return the names of all pages."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_page(name: str) -> Page:
    """Read the tables of a page.

    Raises:
        InputError: There is no page with this name.
    """
    if name not in page_names():
        raise InputError(f"there is no page {name!r}. Choose one of {', '.join(page_names())}.")
    return parse_page(name, yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))


def parse_page(name: str, content: Mapping[str, Any]) -> Page:
    """Build a page from the content of its YAML file."""
    base = content["base"]
    tables = []
    for table in content["tables"]:
        fields = {"base": base, **table, "rows": [Row(**row) for row in table["rows"]]}
        tables.append(Table(**{**fields, "note": fields.get("note", "").strip()}))
    sets = {key: DataSet(**data) for key, data in content["sets"].items()}
    return Page(name, content["title"], base, sets, tables)
