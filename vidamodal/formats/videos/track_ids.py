"""The place in which the annotations of a JSON file state which object they belong to.

COCO has no field for it. Tried in this order, in any spelling (``Track ID`` is ``track_id``): the keys of an
annotation, then those of its ``attributes``, as CVAT and FiftyOne write them. Keys that may mean something else
(``index``, ``attributes.id``) count only where some id stands in several images; of the others, one whose ids do is
preferred. -1 is no id. Ids that are no integers are numbered from 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vidamodal.formats.annotation_files import Record
from vidamodal.media.json_records import FieldError, Identity, identity

_CERTAIN = ("track_id", "instance_id", "object_id", "obj_id", "tracking_id")
_ATTRIBUTES = "attributes"
_POSSIBLE = ((True, "id"), (False, "index"), (True, "index"))
"""(in attributes?, key) pairs tried last."""


@dataclass(frozen=True)
class TrackIds:
    """The ids of the objects of annotations."""

    key: str
    """The key of the id in an annotation, or in its attributes."""
    in_attributes: bool
    numbers: Mapping[Identity, int]
    """Number of each id."""
    returns: bool
    """True if an id stands in several images."""
    instead_of: str | None = None
    """Name of a place that comes before this one, but whose ids do not return."""

    @property
    def place(self) -> str:
        """Name of the place, for messages."""
        return f"{_ATTRIBUTES}.{self.key}" if self.in_attributes else self.key

    def number(self, record: Record, where: str) -> int | None:
        """Return the number of the object of an annotation; None if it has no id.

        Raises:
            FieldError: The id is neither an integer nor a name.
        """
        found = _value(record, self.key, self.in_attributes, where)
        return None if found is None else self.numbers[found]


def find_track_ids(records: Mapping[Identity, Sequence[Record]]) -> TrackIds | None:
    """Return the ids of the objects of annotations; None if they have none.

    Args:
        records: The annotations of each image.

    Raises:
        FieldError: An id is neither an integer nor a name.
    """
    certain = [(in_attributes, name) for in_attributes in (False, True) for name in _CERTAIN]
    spellings = {in_attributes: _spellings(records, in_attributes) for in_attributes in (False, True)}
    first: TrackIds | None = None
    for in_attributes, name in [*certain, *_POSSIBLE]:
        key = spellings[in_attributes].get(name)
        if key is None:
            continue
        is_certain = (in_attributes, name) in certain
        if first is not None and not is_certain:
            break
        try:
            images = _images_of_ids(records, key, in_attributes)
        except FieldError:
            if is_certain and first is None:
                raise
            continue
        returns = max(map(len, images.values()), default=0) > 1
        if returns:
            place = None if first is None else first.place
            return TrackIds(key, in_attributes, _numbers(images), True, place)
        if images and is_certain and first is None:
            first = TrackIds(key, in_attributes, _numbers(images), False)
    return first


def _spellings(records: Mapping[Identity, Sequence[Record]], in_attributes: bool) -> dict[str, str]:
    """The keys of annotations or of their attributes, by their plain form."""
    found: dict[str, None] = {}
    for record in (record for of_image in records.values() for record in of_image):
        holder = record.get(_ATTRIBUTES) if in_attributes else record
        if isinstance(holder, dict):
            found.update(dict.fromkeys(holder))
    return {re.sub("[^a-z0-9]+", "_", key.lower()): key for key in reversed(found)}


def _images_of_ids(
    records: Mapping[Identity, Sequence[Record]], key: str, in_attributes: bool
) -> dict[Identity, set[Identity]]:
    """The images of each id, in the order in which ids are first seen."""
    images: dict[Identity, set[Identity]] = {}
    for image, of_image in records.items():
        for record in of_image:
            found = _value(record, key, in_attributes, f"image {image}: ")
            if found is not None:
                images.setdefault(found, set()).add(image)
    return images


def _value(record: Record, key: str, in_attributes: bool, where: str) -> Identity | None:
    holder = record.get(_ATTRIBUTES) if in_attributes else record
    found = holder.get(key) if isinstance(holder, dict) else None
    number = None if found is None or found == "" else identity(found, f"{where}{key}")
    return None if number == -1 else number


def _numbers(ids: Mapping[Identity, object]) -> dict[Identity, int]:
    if all(isinstance(found, int) for found in ids):
        return {found: found for found in ids if isinstance(found, int)}
    return {found: number for number, found in enumerate(ids, 1)}
