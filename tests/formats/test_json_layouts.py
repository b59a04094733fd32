"""JSON formats are recognised by their keys, and each file is parsed once."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.formats.image_data import cocoa, d2sa, kins, refusal
from tests.formats.video_data import burst, coco_video, put, tao_amodal, youtube_vis
from vidamodal.formats import find_dataset
from vidamodal.types import InputError

FORMATS = {
    "COCO": coco_video(),
    "KINS": kins(),
    "COCOA or MP3D-Amodal": cocoa(),
    "D2SA or COCOA-cls": d2sa(),
    "YouTube-VIS": youtube_vis(),
    "BURST": burst(),
    "TAO-Amodal": tao_amodal(),
}
WORDS = [
    "regions",
    "segmentations",
    "sequences",
    "a_segm",
    "amodal_bbox",
    "visible_mask",
    "video_id",
    "masklet",
    "tracks",
]


@pytest.mark.parametrize("name", FORMATS)
def test_words_in_values_do_not_decide(name: str, tmp_path: Path) -> None:
    document = {**FORMATS[name], "note": WORDS, "licenses": [{"name": word} for word in WORDS]}
    document["categories"] = [{"id": 4 + k, "name": word} for k, word in enumerate(WORDS)]
    assert find_dataset(put(tmp_path / "a.json", document)).format == name


@pytest.mark.parametrize(("chosen", "name"), [("coco", "COCO"), ("d2sa", "D2SA or COCOA-cls"), ("kins", "KINS")])
def test_a_file_that_fits_several_formats_is_read_in_the_given_one(chosen: str, name: str, tmp_path: Path) -> None:
    document = d2sa()
    document["annotations"][0]["inmodal_seg"] = document["annotations"][0]["visible_mask"]
    path = put(tmp_path / "a.json", document)
    assert find_dataset(path).format == "KINS"
    assert find_dataset(path, chosen).format == name
    assert find_dataset(path, chosen).clips["7"].tracks().tracks[0].amodal is not None


def test_a_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []
    original = json.loads

    def loads(text: bytes) -> Any:
        parsed.append(len(text))
        return original(text)

    path = put(tmp_path / "a.json", coco_video())
    put(tmp_path / "other.json", {"some": "settings"})
    monkeypatch.setattr(json, "loads", loads)
    for _ in range(2):
        assert len(find_dataset(tmp_path).clips) == 1
    assert parsed == [path.stat().st_size] * 2  # once for recognition and reading; the second time for reading alone


def test_a_changed_file_is_recognised_again(tmp_path: Path) -> None:
    assert find_dataset(put(tmp_path / "a.json", d2sa())).format == "D2SA or COCOA-cls"
    assert find_dataset(put(tmp_path / "a.json", youtube_vis())).format == "YouTube-VIS"


@pytest.mark.parametrize("text", ['{"annotations": [', '{"annotations": ' + "[" * 100000, '{"segmentation": "\\ud8"}'])
def test_a_damaged_file_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    assert "not JSON" in refusal(tmp_path / "a.json")
    assert "not JSON" in refusal(tmp_path)


@pytest.mark.parametrize("document", [[], 3, "annotations", {"annotations": 1}, {"images": ["annotations"]}])
def test_other_json_is_in_no_known_format(document: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in no known format"):
        find_dataset(put(tmp_path / "a.json", document))


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path / "a.json", d2sa())
    put(tmp_path / "._a.json", coco_video())
    assert find_dataset(tmp_path).format == "D2SA or COCOA-cls"


def test_parts_of_a_set_from_roboflow_are_searched(tmp_path: Path) -> None:
    put(tmp_path / "train/_annotations.coco.json", coco_video())
    assert find_dataset(tmp_path).format == "COCO"
    put(tmp_path / "valid/_annotations.coco.json", coco_video())
    assert "several annotation files" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (b'{"images": [{"id":1', "not JSON"),
        (b"[1, 2", "not JSON"),
        (json.dumps(coco_video()).encode("utf-16"), "not UTF-8"),
        (json.dumps(coco_video()).encode("utf-16-be"), "not UTF-8"),
        (gzip.compress(b"{}", mtime=0), "unpack it"),
        (b"PK\x03\x04more", "copy it again"),
        (b"PK\x05\x06" + bytes(18), "unpack it"),
        (b"{}", "in no known format"),
        (b"text", "in no known format"),
    ],
)
def test_why_a_file_is_unreadable(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert words in refusal(path)
