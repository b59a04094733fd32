"""Label Studio's run lengths of brush masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vidamodal.formats.annotators.brush_rle import decode_brush, encode_brush
from vidamodal.media.json_records import FieldError


def as_bytes(bits: str) -> list[int]:
    text = bits.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return [int(text[k : k + 8], 2) for k in range(0, len(text), 8)]


def header(values: int, word: int = 8, lengths: tuple[int, ...] = (3, 4, 8, 16)) -> str:
    return f"{values:032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in lengths)


@given(npst.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_encoded_masks_are_decoded(mask: np.ndarray) -> None:
    assert np.array_equal(decode_brush(encode_brush(mask), mask.shape[0], mask.shape[1], "here"), mask)


@settings(max_examples=5)
@given(st.integers(0, 399), st.integers(0, 399))
def test_long_runs_are_cut(top: int, left: int) -> None:
    mask = np.zeros((400, 400), dtype=bool)
    mask[top:, left:] = True
    assert np.array_equal(decode_brush(encode_brush(mask), 400, 400, "here"), mask)


@pytest.mark.parametrize(
    "blocks",
    [
        "1 00 011 00000000  1 00 011 11111111",  # two runs of four
        "0 00 111" + "00000000" * 4 + "11111111" * 4,  # eight single values
        "1 11 0000000000000011 00000000  0 01 0011 00000001 00000010 00000011 00000001",  # alpha is not zero
        "1 10 00000110 00000000  1 00 000 10000000",  # only the last alpha value
    ],
)
def test_the_alpha_channel_is_the_mask(blocks: str) -> None:
    assert decode_brush(as_bytes(header(8) + blocks), 1, 2, "here").tolist() == [[False, True]]


def test_other_word_sizes_and_lengths() -> None:
    stream = header(8, word=1, lengths=(2, 2, 2, 2)) + "1 00 11 0  1 11 11 1"
    assert decode_brush(as_bytes(stream), 2, 1, "here").tolist() == [[False], [True]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "cut off"),
        ([0, 0, 0, 8], "cut off"),
        (as_bytes(header(8) + "1 00 011 00000000"), "cut off"),
        (as_bytes(header(9)), "has 9 values"),
        (as_bytes(header(8) + "1 01 1111 00000000"), "goes beyond the image"),
        ([256], "bytes from 0 to 255"),
        ([True], "bytes from 0 to 255"),
        (["0"], "bytes from 0 to 255"),
    ],
)
def test_damaged_streams_are_refused(data: list[object], message: str) -> None:
    with pytest.raises(FieldError, match=message):
        decode_brush(data, 1, 2, "here")
