"""Ids of objects are found where programs write them."""

from __future__ import annotations

from typing import Any

import pytest

from vidamodal.formats.videos.track_ids import find_track_ids
from vidamodal.media.json_records import FieldError


def records(*of_images: list[dict[str, Any]]) -> dict[int | str, list[dict[str, Any]]]:
    return {7 + image: list(found) for image, found in enumerate(of_images)}


@pytest.mark.parametrize(
    ("one", "two", "place", "numbers"),
    [
        ({"track_id": 3}, {"track_id": "4"}, "track_id", (3, 4)),
        ({"instance_id": 3.0}, {"instance_id": 4}, "instance_id", (3, 4)),
        ({"attributes": {"track_id": 2}}, {"attributes": {"track_id": 1}}, "attributes.track_id", (2, 1)),
        ({"attributes": {"Track ID": 2}}, {"attributes": {"Track ID": 1}}, "attributes.Track ID", (2, 1)),
        ({"obj_id": "cup"}, {"obj_id": "ball"}, "obj_id", (1, 2)),
        ({"index": 5}, {"index": 6}, "index", (5, 6)),
        ({"attributes": {"id": 5}}, {"attributes": {"id": 6}}, "attributes.id", (5, 6)),
        ({"track_id": 1, "instance_id": 9}, {"track_id": 2, "instance_id": 9}, "track_id", (1, 2)),
        ({"track_id": 1, "index": -1}, {"track_id": 2, "index": 3}, "track_id", (1, 2)),
    ],
)
def test_places(one: dict[str, Any], two: dict[str, Any], place: str, numbers: tuple[int, int]) -> None:
    ids = find_track_ids(records([one, two], [two, one]))
    assert ids is not None and ids.place == place
    assert (ids.number(one, ""), ids.number(two, "")) == numbers


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {}),
        ({"index": 0}, {"index": 1}),
        ({"attributes": {"id": 1}}, {"attributes": {"id": 2}}),
        ({"attributes": None}, {"attributes": [1]}),
        ({"index": True}, {"index": True}),
        ({"track_id": None}, {"track_id": ""}),
    ],
)
def test_annotations_without_ids(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert find_track_ids(records([one], [two])) is None


@pytest.mark.parametrize("value", [1.5, True, [], "x" * 999])
def test_damaged_ids_are_refused(value: object) -> None:
    with pytest.raises(FieldError, match="track_id"):
        find_track_ids(records([{"track_id": value}], [{"track_id": value}]))


def test_ids_that_return_are_preferred() -> None:
    ids = find_track_ids(records([{"track_id": 1, "object_id": 9}], [{"track_id": 2, "object_id": 9}]))
    assert ids is not None and (ids.place, ids.instead_of, ids.returns) == ("object_id", "track_id", True)
    ids = find_track_ids(records([{"track_id": 1, "index": 9}], [{"track_id": 2, "index": 9}]))
    assert ids is not None and (ids.place, ids.instead_of, ids.returns) == ("track_id", None, False)
    assert find_track_ids(records([{"track_id": -1}], [{"track_id": -1}])) is None
