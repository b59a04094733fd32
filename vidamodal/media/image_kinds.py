"""Separate frames from masks in one folder (00000.jpg beside 00000_mask.png).

Images belong to one kind if their names differ in nothing but numbers, and their suffixes are both PNG or both JPEG.
Two kinds are alternatives if they are numbered alike. Frames and masks then differ in

- how they are stored: masks have a palette, 16 bits or shades of grey, frames have colours;
- their names: the names of masks continue those of the frames.

Where this does not decide, an InputError names two of the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from vidamodal.media.images import open_image
from vidamodal.media.listing import natural_key
from vidamodal.types import InputError

_MASK_MODES = {"1", "I", "I;16", "L", "P"}
"""Modes of Pillow that hold ids or shades of grey."""


def split_numbers(stem: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the texts around the numbers in a name, and the digits of the numbers."""
    parts = re.split("([0-9]+)", stem)
    return tuple(parts[::2]), tuple(parts[1::2])


def embedded_names(stems: Sequence[str], names: Set[str]) -> dict[str, str] | None:
    """Return the name that each stem contains, with the same text before and after it in all stems.

    Args:
        stems: Names of files without suffix, at least one.
        names: The names to look for.

    Returns:
        The longest names that fit, by stem; None if there are none.
    """
    first, *_ = stems
    places = [
        (start, len(name))
        for name in names
        for start in range(len(first) - len(name) + 1)
        if name and first.startswith(name, start) and _stands_alone(first, start, start + len(name))
    ]
    for start, length in sorted(places, key=lambda place: -place[1]):
        before, after = first[:start], first[start + length :]
        found = {stem: stem.removeprefix(before).removesuffix(after) for stem in stems}
        if all(name in names and before + name + after == stem for stem, name in found.items()):
            return found
    return None


def _stands_alone(text: str, start: int, stop: int) -> bool:
    """True if a part of a text neither begins nor ends inside a number or a word."""
    borders = ((text[edge - 1], text[edge]) for edge in (start, stop) if 0 < edge < len(text))
    return not any((a.isdigit() and b.isdigit()) or (a.isalpha() and b.isalpha()) for a, b in borders)


@dataclass(frozen=True)
class ImageKind:
    """Images whose names differ in nothing but numbers, in natural order."""

    texts: tuple[str, ...]
    paths: tuple[Path, ...]

    @property
    def example(self) -> Path:
        """The first image."""
        return self.paths[0]

    @property
    def numbers(self) -> set[tuple[int, ...]]:
        """The numbers in the names; those that are equal in all of several names are left out."""
        rows = [tuple(map(int, split_numbers(path.stem)[1])) for path in self.paths]
        constant = [len(rows) > 1 and len(set(column)) == 1 for column in zip(*rows, strict=True)]
        return {tuple(n for n, same in zip(row, constant, strict=True) if not same) for row in rows}

    @property
    def stems(self) -> set[str]:
        """The names without suffix."""
        return {path.stem for path in self.paths}

    def is_alternative_to(self, other: ImageKind) -> bool:
        """Return True if an image of both kinds may belong to the same frame."""
        shared = (self.numbers & other.numbers) - {()} or self.stems & other.stems
        return bool(shared) or self.continues(other) or other.continues(self)

    def continues(self, base: ImageKind) -> bool:
        """Return True if all names consist of a name of another kind and the same text around it."""
        return self.stems.isdisjoint(base.stems) and bool(embedded_names(sorted(self.stems), base.stems))

    def is_stored_as_masks(self) -> bool:
        """Return True if the first image has a palette, 16 bits or shades of grey."""
        with open_image(self.example) as image:
            return image.mode in _MASK_MODES


def kinds_of(images: Sequence[Path]) -> list[ImageKind]:
    """Return the kinds of images, the largest first."""
    found: dict[tuple[tuple[str, ...], bool], list[Path]] = {}
    for path in sorted(images, key=lambda path: natural_key(path.stem)):
        found.setdefault((split_numbers(path.stem)[0], path.suffix.lower() == ".png"), []).append(path)
    kinds = [ImageKind(texts, tuple(paths)) for (texts, _), paths in found.items()]
    return sorted(kinds, key=lambda kind: -len(kind.paths))


def frames_among(images: Sequence[Path]) -> tuple[list[Path], str | None]:
    """Return the frames among the images of a folder, in natural order, and a note on files left out (or None).

    Raises:
        InputError: Two images may be the same frame.
    """
    kinds = kinds_of(images)
    for kind in kinds:
        _check_different(kind)
    doubles = _alternatives(kinds)
    if not doubles:
        return sorted(images, key=lambda path: natural_key(path.stem)), _several_patterns(kinds)
    in_colour = [kind for kind in doubles if not kind.is_stored_as_masks()]
    bases = [kind for kind in in_colour or doubles if all(k is kind or k.continues(kind) for k in in_colour or doubles)]
    if len(bases) != 1:
        raise _same_frame(doubles[0].example, doubles[1].example)
    (frames,) = bases
    return list(frames.paths), _left_out("frames", frames, kinds)


def masks_among(images: Sequence[Path], frame_names: Sequence[str] | None = None) -> tuple[list[Path], str | None]:
    """Return the masks among the images of a folder, in natural order, and a note on files left out (or None).

    Args:
        images: The images.
        frame_names: The names of the video's frames, if they are known: they tell frames from masks of colours.

    Raises:
        InputError: Two images may be the masks of the same frame.
    """
    kinds = kinds_of(images)
    doubles = _alternatives(kinds)
    if not doubles:
        return sorted(images, key=lambda path: natural_key(path.stem)), None
    masks = [kind for kind in doubles if kind.is_stored_as_masks()] or doubles
    if len(masks) == 2:
        names = set(frame_names or ())
        masks = [
            kind
            for kind, base in (masks, masks[::-1])
            if kind.continues(base) and (base.example.suffix.lower() != ".png" or base.example.stem in names)
        ] or masks
    if len(masks) != 1:
        raise _same_frame(masks[0].example, masks[1].example)
    return list(masks[0].paths), _left_out("masks", masks[0], kinds)


def _alternatives(kinds: Sequence[ImageKind]) -> list[ImageKind]:
    """The kinds that are alternatives to another one."""
    return [kind for kind in kinds if any(k is not kind and k.is_alternative_to(kind) for k in kinds)]


def _left_out(name: str, chosen: ImageKind, kinds: Sequence[ImageKind]) -> str:
    others = [kind for kind in kinds if kind is not chosen]
    count = sum(len(kind.paths) for kind in others)
    what = "1 other image" if count == 1 else f"{count} other images"
    examples = ", ".join(kind.example.name for kind in others[:3])
    return f"the {name} are the {len(chosen.paths)} images like {chosen.example.name}; {what} left out ({examples})"


def _several_patterns(kinds: Sequence[ImageKind]) -> str | None:
    if len({kind.texts for kind in kinds}) == 1 or len(kinds[0].paths) == 1:
        return None
    examples = ", ".join(kind.example.name for kind in kinds[:3])
    return f"names of {len(kinds)} patterns ({examples}); all are frames, in the order of their names"


def _check_different(kind: ImageKind) -> None:
    by_numbers: dict[tuple[int, ...], Path] = {}
    for path in kind.paths:
        first = by_numbers.setdefault(tuple(map(int, split_numbers(path.stem)[1])), path)
        if first is not path:
            raise _same_frame(first, path)


def _same_frame(one: Path, other: Path) -> InputError:
    return InputError(
        f"{one.parent}: {one.name} and {other.name} may be the same frame. Move one of the two kinds of images to "
        "another folder."
    )
