"""Interpretation of mask pixel values, decided jointly for all masks of a video.

The values are read as, in this order:

- ids: the values of palette and grey images of 1 to 16 bits. 0 is background. 255 is void, and left out, beside other
  ids of 8-bit images, unless the values are grey levels painted for the eye, such as 127 and 255. Where 1 and 255 never
  share an image, both are one object. Of 16-bit values that are 1000 x class + object, as in MOTS, 10000 is left out;
- one colour per object, if images have colours, or palettes that disagree. The background is transparent or black, or
  else the most frequent colour. Colours of the palette of PASCAL VOC and DAVIS, or of the one that this package writes,
  stand for their index; others are numbered in the order of red, green and blue;
- grey levels that are stored as colours with equal channels, or as palettes of greys that disagree;
- alpha, if the colour is constant or a photograph.

Values that come from smoothing or JPEG compression lie on edges between painted ones. With one object they are divided
at half, with several they become the nearest painted value. Images without clear areas are refused as photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import distance_transform_edt

from vidamodal.media.mask_images import PALETTE_COLOURS, TRANSPARENT, MaskImage, colour_channels, read_mask_image
from vidamodal.media.mask_levels import (
    MOST_PAINTED,
    Levels,
    are_blurred_ids,
    count_levels,
    inside,
    lie_between,
    painted_levels,
)
from vidamodal.types import InputError, Mask, VideoInfo

VOID = 255
"""Value in 8-bit id maps, beside other ids, of pixels that were not annotated; they count as background."""

ReadImages = Callable[[], Iterable[tuple[int, MaskImage]]]
"""Returns the frames and masks of a video, one after another; called twice."""

_MOST_IDS, _MOST_COLOURS = 4096, 1024
_PAINTED_GAP = 20
"""Smallest difference of grey levels that are painted for the eye."""
_PHOTOGRAPH_PIXELS = 1024
_MOTS_IGNORED = 10000
_OPAQUE = 128
_LOSSY = 8
"""Difference by which compression may change the channels of a painted colour."""
_LISTED = 6
_CLEAR, _NEAR = 24.0, 60.0
"""Largest distance from a painted value at which a pixel clearly / probably belongs to it."""


@dataclass(frozen=True)
class IdMaps:
    """The id maps of a video, and how they were understood."""

    maps: Iterator[tuple[int, Int[np.ndarray, "h w"]]]
    """Frames and their maps, one at a time; 0 is background."""
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ObjectMasks:
    """The masks of one object, and how they were understood."""

    masks: Iterator[tuple[int, Mask]]
    """Frames and their masks, one at a time."""
    notes: tuple[str, ...]


def read_id_maps(files: Mapping[int, Path], video: VideoInfo, source: Path) -> IdMaps:
    """Read the images of a video, whose pixels each belong to one object or none.

    Args:
        files: The PNG or JPEG of each annotated frame.
        video: The video.
        source: The file or folder of the images, for messages.

    Raises:
        InputError: An image cannot be read or has another size, or the set has no clear meaning.
    """
    return id_maps_of(_images(files, video), source, _kind_of_files(files))


def read_object_masks(files: Mapping[int, Path], video: VideoInfo, source: Path) -> ObjectMasks:
    """Read the images of one object, whose pixels are inside or outside; for arguments see ``read_id_maps``."""
    return object_masks_of(_images(files, video), source, _kind_of_files(files))


def id_maps_of(read: ReadImages, source: Path, unit: str) -> IdMaps:
    """Return the id maps of images from any container; ``unit`` is what it holds, such as "PNG", for the note."""
    scan = _scan(read())
    reading = _decide(scan, source)
    maps = ((frame, _ids(reading, image, source)) for frame, image in read())
    return IdMaps(maps, _notes(reading, scan, source, unit))


def object_masks_of(read: ReadImages, source: Path, unit: str) -> ObjectMasks:
    """Return the masks of one object from images from any container; see ``id_maps_of``."""
    scan = _scan(read())
    of_set = _decide(scan, source)
    reading = _as_one_object(of_set, source)

    def masks() -> Iterator[tuple[int, Mask]]:
        for frame, image in read():
            _check_one_object(of_set, frame, image, source)
            yield frame, _ids(reading, image, source) != 0

    return ObjectMasks(masks(), _notes(reading, scan, source, unit))


@dataclass
class _Scan:
    """Value statistics of a set of mask images."""

    grey: dict[int, Levels] = field(default_factory=dict)
    """Grey values as stored, by their bits."""
    index: Levels = field(default_factory=Levels)
    colour: Levels = field(default_factory=Levels)
    """Colours of images in colours, and of palettes."""
    kinds: set[str] = field(default_factory=set)
    palette: Int[np.ndarray, " 256"] = field(default_factory=lambda: np.full(256, -1))
    """The colour of each index that is used; -1 if it is not."""
    palettes: set[bytes] = field(default_factory=set)
    """The first two different palettes."""
    is_consistent: bool = True
    """True if every index that is used has the same colour in all images."""
    top_alpha: int | None = None
    """The largest alpha; None if all images are opaque."""
    lossy: bool = False
    images: int = 0
    pixels: int = 0
    """Pixels of an image."""
    void_is_shared: bool = False
    """True if an image holds both 255 and another value that is no background."""

    @property
    def palettes_agree(self) -> bool:
        """True if indices can be ids: there is one palette, or different ones give every colour its index."""
        used = self.palette[self.palette >= 0]
        if not self.is_consistent or len(self.palettes) < 2:
            return self.is_consistent
        return len(np.unique(used)) == len(used) and not _numbers(used, 0)[1]

    def add(self, image: MaskImage) -> None:
        """Add the values of one image."""
        self.images, self.lossy, self.pixels = self.images + 1, self.lossy or image.lossy, image.values.size
        if image.alpha is not None:
            self.top_alpha = max(self.top_alpha or 0, int(image.alpha.max()))
        kind = "colour" if image.alpha is not None else image.kind
        self.kinds.add(kind)
        levels = count_levels(_colours(image) if kind == "colour" else image.values, kind == "colour", image.lossy)
        self.void_is_shared |= VOID in levels.codes and int(np.count_nonzero(levels.codes)) > 1
        if kind == "grey":
            self.grey.setdefault(image.bits, Levels()).merge(levels)
            return
        if image.palette is not None:
            self.index.merge(levels)
            used, known = image.palette[levels.codes], self.palette[levels.codes]
            self.is_consistent &= bool(np.all((known == -1) | (known == used)))
            if len(self.palettes) < 2:
                self.palettes.add(image.palette.tobytes())
            self.palette[levels.codes] = used
            levels = levels.relabelled(used)
        self.colour.merge(levels)


@dataclass(frozen=True)
class _Reading:
    """How the values of a set become ids."""

    space: Literal["value", "grey", "colour", "alpha"]
    """The values as stored, grey values of colours, colours, or alpha."""
    how: str
    """How objects are identified, for the note; empty if unambiguous."""
    codes: Int[np.ndarray, " k"]
    """The values in ascending order; after smoothing, the painted ones."""
    ids: Int[np.ndarray, " k"]
    """The id that each stands for; 0 for background and void."""
    is_smooth: bool = False
    scales: Mapping[int, int] = field(default_factory=dict)
    """Factors of stored grey values, by their bits, where they are not 1."""
    remarks: tuple[str, ...] = ()


def _scan(images: Iterable[tuple[int, MaskImage]]) -> _Scan:
    scan = _Scan()
    for _, image in images:
        scan.add(image)
    return scan


def _decide(scan: _Scan, source: Path) -> _Reading:
    """Decide what the values of a set mean."""
    if scan.top_alpha is not None and (reading := _alpha_reading(scan, source)) is not None:
        return reading
    grey, scales, remarks = _joined_greys(scan)
    if "colour" not in scan.kinds and scan.palettes_agree and not _needs_colours(scan, grey):
        if "palette" not in scan.kinds:
            return _grey_reading("value", grey, scan, source, scales=scales, remarks=remarks)
        if (reading := _index_reading(scan, grey, source, scales, remarks)) is not None:
            return reading
    colours = Levels()
    colours.merge(scan.colour)
    colours.merge(grey.relabelled(grey.codes * 0x10101))
    channels = colour_channels(colours.codes)
    is_grey = (np.ptp(channels, axis=1) <= (12 if scan.lossy else 0)) & (colours.codes != TRANSPARENT)
    if colours.pixels[is_grey].sum() >= (0.99 if scan.lossy else 1) * colours.pixels.sum():
        levels = colours.relabelled(channels.max(axis=1))
        return _grey_reading("grey", levels, scan, source, scales=scales, remarks=remarks)
    return _colour_reading(colours, scan, source)


def _joined_greys(scan: _Scan) -> tuple[Levels, dict[int, int], tuple[str, ...]]:
    """The grey values of all images, factors by which fewer bits are scaled to the most, and what is assumed."""
    joined, scales = Levels(), {}
    remarks: tuple[str, ...] = ()
    widest = max(scan.grey, default=8)
    wide = set(scan.grey[widest].codes.tolist()) if scan.grey else set()
    for bits, levels in scan.grey.items():
        factor = (2**widest - 1) // (2**bits - 1)
        if bits < widest and levels.codes.max() > 0:
            if {factor * code for code in levels.codes.tolist()} <= wide | {0}:
                scales[bits] = factor
            else:
                remarks = (f"images of {bits} and {widest} bits are read by value",)
        joined.merge(levels.relabelled(levels.codes * scales.get(bits, 1)))
    return joined, scales, remarks


def _needs_colours(scan: _Scan, grey: Levels) -> bool:
    """Return True if palette indices cannot be the ids, although all palettes agree."""
    if not len(scan.index.codes):
        return False
    used = scan.palette[scan.index.codes]
    counts = dict(zip(scan.index.codes.tolist(), scan.index.pixels.tolist(), strict=True))
    for background in (TRANSPARENT, 0):
        found = np.flatnonzero(used == background)
        if len(found) and scan.palette[0] != background and scan.index.pixels[found].sum() > counts.get(0, 0):
            return True
    values = {code for code in grey.codes.tolist() if code}
    as_colours = {code * 0x10101 for code in values}
    return bool(values) and not values <= set(counts) and as_colours <= set(used.tolist())


def _index_reading(
    scan: _Scan, grey: Levels, source: Path, scales: Mapping[int, int], remarks: tuple[str, ...]
) -> _Reading | None:
    """Indices of palettes that agree are ids; None if their colours show smoothed edges."""
    is_known = any(all(scan.palette[k] == palette[k] for k in scan.index.codes) for palette in _PALETTES)
    levels = Levels()
    levels.merge(scan.index)
    levels.merge(grey)
    colours = np.where(
        np.isin(levels.codes, scan.index.codes), scan.palette[np.minimum(levels.codes, 255)], levels.codes * 0x10101
    )
    if not is_known and painted_levels(levels, colour_channels(colours).astype(float), scan.lossy) is not None:
        return None
    is_ramp = bool(np.all(np.ptp(colour_channels(colours), axis=1) == 0))
    is_narrow = set(scan.grey) <= {1, 2, 4, 8}
    return _crisp_values(
        "value", levels, scan, source, is_narrow and not (is_ramp and _are_painted(levels)), scales, remarks
    )


def _crisp_values(
    space: Literal["value", "grey"],
    levels: Levels,
    scan: _Scan,
    source: Path,
    void: bool,
    scales: Mapping[int, int],
    remarks: tuple[str, ...],
) -> _Reading:
    """Values are ids."""
    if are_blurred_ids(levels):
        raise InputError(
            f"{source}: values between those of areas, as in photographs or in ids that were smoothed or resized with "
            "interpolation; save ids as they are, and resize them without it"
        )
    _check_areas(levels, _MOST_IDS, scan, source)
    ids = levels.codes.copy()
    if scan.grey.keys() == {16}:
        remarks = (*remarks, *_leave_out_ignored(ids))
    if VOID in ids and np.count_nonzero(ids) > 1:
        if void and not scan.void_is_shared:
            if set(ids.tolist()) - {0, 1, VOID}:
                raise InputError(f"{source}: {VOID} never shares an image with other values; save one value per object")
            remarks = (*remarks, f"1 and {VOID} never share an image and are one object")
            ids[ids == VOID] = 1
        elif void:
            remarks = (*remarks, f"{VOID} is void and left out")
            ids[ids == VOID] = 0
        elif set(scan.grey) <= {1, 2, 4, 8}:
            remarks = (
                *remarks,
                f"{VOID} is read as an object, because the grey levels are at least {_PAINTED_GAP} apart",
            )
    how = "grey level" if space == "grey" else ""
    return _Reading(space, how, levels.codes, ids, scales=scales, remarks=remarks)


def _leave_out_ignored(ids: Int[np.ndarray, " k"]) -> tuple[str, ...]:
    """Set the value for regions to ignore of MOTS to 0 if all others are 1000 x class + object; return remarks."""
    objects = ids[(ids != 0) & (ids != _MOTS_IGNORED)]
    if not len(objects) or objects.min() <= 1000 or objects.max() >= _MOTS_IGNORED:
        return ()
    if _MOTS_IGNORED not in ids:
        return ("values look like 1000 x class + object, as in MOTS",) if objects.max() < 3000 else ()
    ids[ids == _MOTS_IGNORED] = 0
    return (f"values look like 1000 x class + object, as in MOTS: {_MOTS_IGNORED} is a region to ignore and left out",)


def _grey_reading(
    space: Literal["value", "grey"],
    levels: Levels,
    scan: _Scan,
    source: Path,
    scales: Mapping[int, int],
    remarks: tuple[str, ...],
) -> _Reading:
    top = int(levels.codes.max(initial=0))
    full = 255 if top <= 255 else 65535
    points = levels.codes[:, None] * (255.0 / full)
    painted = painted_levels(levels, points, scan.lossy)
    if painted is None:
        is_narrow = space == "grey" or set(scan.grey) <= {1, 2, 4, 8}
        return _crisp_values(space, levels, scan, source, is_narrow and not _are_painted(levels), scales, remarks)
    found = levels.codes[painted]
    if len(found) and found[0] > full // 6:
        raise InputError(f"{source}: smoothed grey edges but no black background. Save ids with 0 for background.")
    objects = found[1:] if len(found) > 1 else np.array([top] if top > full // 4 else [], dtype=np.int64)
    if scan.lossy and not len(objects) and np.count_nonzero(levels.solid) > 1:
        raise InputError(f"{source}: ids up to {top} cannot survive lossy compression. Save PNGs.")
    codes = np.array([0, *objects], dtype=np.int64)
    _check_edges(levels, points, codes[:, None] * (255.0 / full), scan, source)
    ids = codes.copy()
    if len(codes) == 2 and codes[1] > 0.9 * full:
        ids[1] = full
    return _Reading(space, "grey level", codes, ids, True, scales, remarks)


def _colour_reading(levels: Levels, scan: _Scan, source: Path) -> _Reading:
    """Every colour is an object, apart from that of the background."""
    points = colour_channels(levels.codes).astype(float)
    is_known = not scan.lossy and len(levels.codes) <= 256 and _numbers(levels.codes, 0)[1]
    painted = None if is_known else painted_levels(levels, points, scan.lossy)
    codes = levels.codes if painted is None else levels.codes[painted]
    if not len(codes):
        raise InputError(f"{source}: photographs, not masks; pass masks with one value or colour for each object")
    if painted is None:
        _check_areas(levels, _MOST_COLOURS, scan, source)
    else:
        _check_edges(levels, points, points[painted], scan, source)
    background = _background(levels, codes, is_known)
    objects = codes[codes != background]
    counts = levels.counts[np.isin(levels.codes, objects)]
    if painted is None and scan.images > 2 and len(objects) > 2 and counts[:, 3].max() == 1:
        raise InputError(
            f"{source}: the colours change from image to image, so objects cannot be matched. Use one colour per "
            "object throughout."
        )
    ids, named = _numbers(objects, 0 if painted is None else _LOSSY)
    remarks = () if background in (0, TRANSPARENT) else (f"the background is {_name(background)}",)
    if VOID in ids and len(ids) > 1:
        ids[ids == VOID] = 0
        remarks = (*remarks, f"{_name(int(objects[ids == 0][0]))} is void and left out")
    elif not named:
        listed = [f"{number} is {_name(int(code))}" for number, code in zip(ids, objects, strict=True)][:_LISTED]
        remarks = (*remarks, ", ".join(listed) + (", ..." if len(ids) > _LISTED else ""))
    how = "palette colour" if scan.kinds <= {"palette", "grey"} else "colour"
    place = np.searchsorted(codes, objects)
    all_ids = np.zeros(len(codes), dtype=np.int64)
    all_ids[place] = ids
    return _Reading("colour", how, codes, all_ids, painted is not None, remarks=remarks)


def _alpha_reading(scan: _Scan, source: Path) -> _Reading | None:
    """Alpha is the mask if the opaque pixels have one colour, or show a photograph; else None."""
    if not scan.top_alpha:
        raise InputError(f"{source}: every pixel is transparent; save the masks without alpha")
    opaque = scan.colour.codes != TRANSPARENT
    if scan.colour.pixels[scan.colour.codes == TRANSPARENT].sum() == 0:
        return None
    colours = Levels(scan.colour.codes[opaque], scan.colour.counts[opaque])
    if 1 < len(colours.codes) <= _MOST_COLOURS and not scan.colour.are_smooth:
        return None
    codes = np.array([0, scan.top_alpha], dtype=np.int64)
    return _Reading("alpha", "alpha", codes, np.array([0, 1]), True)


def _background(levels: Levels, codes: Int[np.ndarray, " k"], is_known: bool) -> int:
    """The colour of the background: transparent, black, else the most frequent one if no palette is known."""
    if TRANSPARENT in codes:
        return TRANSPARENT
    darkest = int(codes[np.argmin(colour_channels(codes).max(axis=1))])
    if colour_channels(np.array([darkest])).max() <= (0 if len(codes) == len(levels.codes) else 40):
        return darkest
    if is_known:
        return 0
    return int(codes[np.argmax(levels.pixels[np.isin(levels.codes, codes)])])


def _numbers(colours: Int[np.ndarray, " k"], tolerance: int) -> tuple[Int[np.ndarray, " k"], bool]:
    """The ids of colours, and whether a palette that others know gives them, up to a difference of each channel."""
    channels = colour_channels(colours)
    for palette in _PALETTES:
        differences = np.abs(channels[:, None] - colour_channels(np.array(palette))).max(axis=-1)
        numbers = differences.argmin(axis=1)
        if differences.min(axis=1).max(initial=0) <= tolerance and len(set(numbers.tolist())) == len(colours):
            return numbers, True
    return np.arange(1, len(colours) + 1), False


def _voc_colour(number: int) -> int:
    """The colour of an index in the palette of PASCAL VOC and DAVIS: its bits, dealt to the three channels in turn."""
    channels = [sum((number >> 3 * place + channel & 1) << 7 - place for place in range(3)) for channel in range(3)]
    return channels[0] << 16 | channels[1] << 8 | channels[2]


_PALETTES = (tuple(map(_voc_colour, range(256))), PALETTE_COLOURS)


def _name(colour: int) -> str:
    return "transparent" if colour == TRANSPARENT else "({}, {}, {})".format(*colour_channels(np.array([colour]))[0])


def _are_painted(levels: Levels) -> bool:
    """Return True for grey levels that are far apart, as painted for the eye."""
    return bool(np.diff(np.union1d(levels.codes, [0])).min(initial=255) >= _PAINTED_GAP)


def _check_areas(levels: Levels, most: int, scan: _Scan, source: Path) -> None:
    """Refuse photographs, whose values are many or fill no areas; small ones cannot be distinguished from masks."""
    if len(levels.codes) > most or (levels.are_smooth and scan.pixels >= _PHOTOGRAPH_PIXELS):
        raise InputError(
            f"{source}: photographs, not masks ({len(levels.codes)} different values); pass masks with one value or "
            "colour for each object"
        )


def _check_edges(
    levels: Levels, points: Float[np.ndarray, "k c"], painted: Float[np.ndarray, "p c"], scan: _Scan, source: Path
) -> None:
    """Refuse a set in which more is smooth than the edges of what was painted."""
    nearest, owner = np.full(len(points), np.inf), np.zeros(len(points), dtype=np.intp)
    for place, point in enumerate(painted):
        distance = np.abs(points - point).max(axis=1)
        owner[distance < nearest] = place
        np.minimum(nearest, distance, out=nearest)
    of_levels = [np.bincount(owner, weights=counts, minlength=len(painted)) for counts in (levels.pixels, levels.solid)]
    inside = int(np.sort(of_levels[0])[:-1].sum())
    edges = int(levels.pixels[nearest > _CLEAR].sum())
    strange = (nearest > _NEAR) & ~lie_between(points, painted[np.argsort(-of_levels[0])[:16]])
    if (
        len(painted) > MOST_PAINTED
        or (scan.pixels >= _PHOTOGRAPH_PIXELS and 10 * levels.flat < 3 * levels.pixels.sum())
        or edges > 2 * inside
        or 100 * levels.pixels[strange].sum() > inside
        or (len(painted) > 2 and np.any(of_levels[1] < 0.2 * of_levels[0]))
    ):
        raise InputError(
            f"{source}: values run into each other, as in photographs, soft mattes or after strong compression; save "
            "masks with one value or colour for each object, as PNGs"
        )


def _as_one_object(reading: _Reading, source: Path) -> _Reading:
    """The same set as masks of one object: inside are grey values from half the largest on, or all colours."""
    inside, remarks = reading.ids != 0, reading.remarks
    is_one = np.count_nonzero(inside) > 1 and len(set(reading.ids[inside].tolist())) == 1
    if _holds_levels(reading) and not is_one:
        inside = (2 * reading.codes >= reading.codes.max(initial=1)) & (reading.codes > 0)
        remarks = ()
        if np.count_nonzero(reading.codes) > 1:
            remarks = (f"values from {reading.codes[inside][0]} on are inside",)
    if reading.is_smooth and np.count_nonzero(inside) > 1:
        raise InputError(f"{source}: several values with smoothed edges for one object; save 0 outside and 255 inside")
    return replace(reading, ids=inside.astype(np.int64), remarks=remarks)


def _holds_levels(reading: _Reading) -> bool:
    """True for grey values and indices without smoothed edges."""
    return reading.space in ("value", "grey") and not reading.is_smooth


def _check_one_object(reading: _Reading, frame: int, image: MaskImage, source: Path) -> None:
    """Refuse an image with several ids: small values, indices, colours, or areas of grey levels far apart."""
    if reading.is_smooth:
        return
    ids = _ids(reading, image, source)
    found = np.setdiff1d(ids, [0])
    if len(found) < 2:
        return
    full = 255 if reading.codes.max() <= 255 else 65535
    if _holds_levels(reading) and image.kind != "palette" and 2 * int(found.max()) > full:
        areas = np.setdiff1d(ids[inside(ids)], [0])
        if len(areas) < len(found) or np.diff(found).min() < _PAINTED_GAP:
            return  # levels of one object, from half of which on a pixel is inside
    listed = " and ".join(map(str, found[:2]))
    raise InputError(
        f"{source}: read as the masks of one object, but frame {frame} holds several (ids {listed}). If this is a "
        "video, pass it alone, or move the folders of videos into a folder Annotations"
    )


def _ids(reading: _Reading, image: MaskImage, source: Path) -> Int[np.ndarray, "h w"]:
    """The ids of one image."""
    values = _in_space(reading, image)
    if reading.is_smooth:
        return _snapped(reading, values)
    if reading.space == "value" and np.array_equal(reading.ids, reading.codes):
        return values
    place = np.minimum(np.searchsorted(reading.codes, values), len(reading.codes) - 1)
    if not np.array_equal(reading.codes[place], values):
        raise InputError(f"{source}: changed while it was read; read it again")
    return np.asarray(reading.ids[place])


def _in_space(reading: _Reading, image: MaskImage) -> Int[np.ndarray, "h w"]:
    if reading.space == "alpha":
        return np.full(image.values.shape, 255, dtype=np.uint8) if image.alpha is None else image.alpha
    if image.kind == "grey" and image.alpha is None and image.bits in reading.scales:
        image = replace(image, values=image.values.astype(np.int64) * reading.scales[image.bits])
    if reading.space == "value":
        return image.values
    colours = _colours(image)
    return colours if reading.space == "colour" else np.asarray(colour_channels(colours).max(axis=-1))


def _snapped(reading: _Reading, values: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """The ids of an image with smoothed edges: those of the nearest painted values.

    Of two painted values the nearer one is meant. Of several, a pixel on an edge may pass a third one's value, so it
    gets the id of the nearest pixel that is not on an edge.
    """
    channels = colour_channels if reading.space == "colour" else lambda codes: codes[..., None]
    points, pixels = channels(reading.codes).astype(np.float32), channels(values).astype(np.float32)
    nearest, least = np.zeros(values.shape, dtype=np.intp), np.full(values.shape, np.inf, dtype=np.float32)
    for place, point in reversed(list(enumerate(points))):
        distance = np.square(pixels - point).sum(axis=-1)
        nearest[distance < least] = place
        np.minimum(least, distance, out=least)
    ids = reading.ids[nearest]
    if len(points) <= 2:
        return np.asarray(ids)
    sure = inside(nearest) & (least <= _NEAR**2)
    if sure.any() and not sure.all():
        rows, columns = distance_transform_edt(~sure, return_distances=False, return_indices=True)
        ids = ids[rows, columns]
    return np.asarray(ids)


def _colours(image: MaskImage) -> Int[np.ndarray, "h w"]:
    if image.palette is not None:
        return np.asarray(image.palette[image.values])
    colours = image.values if image.kind == "colour" else image.values.astype(np.int32) * 0x10101
    return colours if image.alpha is None else np.where(image.alpha < _OPAQUE, TRANSPARENT, colours)


def _notes(reading: _Reading, scan: _Scan, source: Path, unit: str) -> tuple[str, ...]:
    count, images = len(set(reading.ids.tolist()) - {0}), f"{scan.images} {unit}{'s' * (scan.images != 1)}"
    if not count and not reading.remarks:
        return (f"{source.name}: no object in {images}",)
    if not reading.how and not reading.remarks:
        return ()
    edges = " with smoothed edges" if reading.is_smooth and reading.space != "alpha" else ""
    told = f"{count} object{'s' * (count != 1)} by {reading.how or 'value'}{edges}"
    return ("; ".join([f"{source.name}: {images}, {told}", *reading.remarks]),)


def _images(files: Mapping[int, Path], video: VideoInfo) -> ReadImages:
    return lambda: ((frame, read_mask_image(path, video)) for frame, path in files.items())


def _kind_of_files(files: Mapping[int, Path]) -> str:
    return "PNG" if all(path.suffix.lower() == ".png" for path in files.values()) else "image"
