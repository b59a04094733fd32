"""What people wear and carry, chosen by a generator that belongs to the person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.bodies import JOINTS, Body
from dataset_gen.actors.garments import (
    Piece,
    Tailor,
    cuboid,
    dressed_mesh,
    ellipsoid,
    grip,
    hair,
    hanging_hair,
    hull_piece,
    jacket,
    loft_faces,
    measure,
    rod,
    skirt,
    to_rest,
    trousers,
    wrist,
)
from dataset_gen.actors.rig import SIDES, SIGN, Side
from dataset_gen.assets import Split
from vidamodal.worlds.spec import Vector


@dataclass(frozen=True)
class Dressed:
    """A body in its clothes."""

    naked: Body
    body: Body
    """The body with clothes and carried things; it has the same joints."""
    split: Split
    holds: Mapping[Side, Vector] = field(default_factory=dict)
    """Where the wrists of hands that carry something are: see ``key_poses.arm_to``."""


@dataclass
class _Outfit:
    """An outfit in the making."""

    tailor: Tailor
    rng: np.random.Generator
    offsets: Float[np.ndarray, " v"]
    pieces: list[Piece] = field(default_factory=list)
    holds: dict[Side, Vector] = field(default_factory=dict)

    @property
    def body(self) -> Body:
        return self.tailor.body

    def push(self, offsets: Float[np.ndarray, " v"]) -> None:
        self.offsets = np.maximum(self.offsets, offsets * self.body.height / 1.7)

    def side(self) -> Side:
        return SIDES[self.rng.integers(2)]


Addition = Callable[[_Outfit], None]


def dress(body: Body, split: Split, rng: np.random.Generator) -> Dressed:
    """Return a body of slightly changed size in clothes, perhaps with things in its hands."""
    size = rng.uniform(0.95, 1.05)
    skeleton = replace(body.skeleton, pivots=body.skeleton.pivots * size)
    sized = Body(replace(body.mesh, vertices=(body.mesh.vertices * size).astype(np.float32), skeleton=skeleton))
    outfit = _Outfit(measure(sized), rng, np.zeros(len(sized.mesh.vertices)))
    for choices in (_BELOW, _ABOVE, _HEAD, _BACK):
        _choose(choices, rng)(outfit)
    if sized.height > 1.0:
        _choose(_HANDS, rng)(outfit)
    return Dressed(sized, Body(dressed_mesh(outfit.tailor, outfit.offsets, outfit.pieces)), split, outfit.holds)


def _choose(choices: dict[Addition, float], rng: np.random.Generator) -> Addition:
    shares = np.array(list(choices.values()))
    return list(choices)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def _nothing(outfit: _Outfit) -> None:
    """Add nothing."""


def _trousers(outfit: _Outfit) -> None:
    outfit.push(trousers(outfit.tailor, outfit.rng.uniform(0.005, 0.02), outfit.rng.uniform(0.0, 0.02)))


def _wide_trousers(outfit: _Outfit) -> None:
    outfit.push(trousers(outfit.tailor, outfit.rng.uniform(0.015, 0.035), outfit.rng.uniform(0.02, 0.06)))


def _skirt(outfit: _Outfit) -> None:
    body, rng = outfit.body, outfit.rng
    knee = body.pivot("left_shin")[2]
    hem = rng.uniform(0.3, 1.35) * knee
    top = body.pivot("spine")[2] + 0.01 * body.height
    outfit.pieces.append(skirt(outfit.tailor, top, hem, rng.uniform(1.0, 1.9), rng.uniform(0.01, 0.03)))


def _dress(outfit: _Outfit) -> None:
    body, rng = outfit.body, outfit.rng
    hem = rng.uniform(0.25, 1.3) * body.pivot("left_shin")[2]
    top = body.pivot("chest")[2] + 0.05 * body.height
    outfit.push(jacket(outfit.tailor, 0.008, 0.0))
    outfit.pieces.append(skirt(outfit.tailor, top, hem, rng.uniform(1.0, 1.7), rng.uniform(0.008, 0.02)))


def _shirt(outfit: _Outfit) -> None:
    outfit.push(jacket(outfit.tailor, outfit.rng.uniform(0.004, 0.02), outfit.rng.uniform(0.0, 0.015)))


def _jacket(outfit: _Outfit) -> None:
    outfit.push(jacket(outfit.tailor, outfit.rng.uniform(0.02, 0.05), outfit.rng.uniform(0.015, 0.035)))


def _coat(outfit: _Outfit) -> None:
    body, rng = outfit.body, outfit.rng
    outfit.push(jacket(outfit.tailor, rng.uniform(0.015, 0.035), rng.uniform(0.01, 0.025)))
    hem = rng.uniform(0.7, 1.5) * body.pivot("left_shin")[2]
    top = body.pivot("spine")[2] + 0.04 * body.height
    outfit.pieces.append(skirt(outfit.tailor, top, hem, rng.uniform(1.05, 1.3), rng.uniform(0.025, 0.045)))


def _short_hair(outfit: _Outfit) -> None:
    outfit.push(hair(outfit.tailor, outfit.rng.uniform(0.01, 0.035), outfit.rng.uniform(0.5, 0.7)))


def _big_hair(outfit: _Outfit) -> None:
    outfit.push(hair(outfit.tailor, outfit.rng.uniform(0.04, 0.09), outfit.rng.uniform(0.55, 0.9)))


def _long_hair(outfit: _Outfit) -> None:
    _short_hair(outfit)
    height = outfit.body.height
    length = outfit.rng.uniform(0.02, 0.12) * height
    outfit.pieces.append(hanging_hair(outfit.tailor, length, outfit.rng.uniform(0.25, 0.5)))


def _tail(outfit: _Outfit) -> None:
    """Add a pony tail or a bun."""
    _short_hair(outfit)
    rng, size = outfit.rng, _head_size(outfit)
    crown = _crown(outfit)
    start = crown + np.array((-0.55, 0.0, -rng.uniform(0.2, 0.6))) * size
    if rng.random() < 0.4:
        points = ellipsoid(start, rng.uniform(0.16, 0.26) * size, 40)
    else:
        stop = start + np.array((-0.3, 0.0, -rng.uniform(0.4, 1.2))) * size
        points = rod(start, stop, rng.uniform(0.1, 0.18) * size, 0.06 * size)
    outfit.pieces.append(hull_piece(points, {"head": 1.0}))


def _hat(outfit: _Outfit) -> None:
    """Add a hat with a brim, or a cap with a peak."""
    _short_hair(outfit)
    rng, size, crown = outfit.rng, _head_size(outfit), _crown(outfit)
    angles = np.arange(20) * 2 * np.pi / 20
    ring = np.stack([np.cos(angles), 0.85 * np.sin(angles), np.zeros(20)], axis=1)
    base = crown - (0, 0, rng.uniform(0.25, 0.4) * size)
    high = rng.uniform(0.35, 0.7) * size
    radius = 0.56 * size
    top = rng.uniform(0.6, 1.0)
    points = np.concatenate([ring * radius + base, ring * radius * top + base + (0, 0, high)])
    outfit.pieces.append(hull_piece(points, {"head": 1.0}))
    if rng.random() < 0.6:
        brim = ring * rng.uniform(0.75, 1.3) * size
    else:
        brim = ring * (0.5, 0.6, 1.0) * size + (0.5 * size, 0, 0)
    outfit.pieces.append(hull_piece(np.concatenate([brim + base, brim + base + (0, 0, 0.06 * size)]), {"head": 1.0}))


def _head_size(outfit: _Outfit) -> float:
    """Return the length of the head from front to back."""
    return float(np.ptp(outfit.body.mesh.vertices[outfit.tailor.share("head") > 0.95, 0]))


def _crown(outfit: _Outfit) -> Float[np.ndarray, " 3"]:
    """Return the place on top of the middle of the head."""
    head = outfit.body.mesh.vertices[outfit.tailor.share("head") > 0.95]
    return np.array((head[:, 0].min() / 2 + head[:, 0].max() / 2, 0.0, head[:, 2].max()))


def _backpack(outfit: _Outfit) -> None:
    body, rng = outfit.body, outfit.rng
    low, high = body.pivot("spine")[2], body.pivot("left_upper_arm")[2]
    back = outfit.tailor.slab((low + high) / 2)[1]
    sides = np.array((rng.uniform(0.1, 0.2), rng.uniform(0.16, 0.24), rng.uniform(0.2, 0.34))) * body.height
    centre = (back - sides[0] * 0.42, 0.0, high - sides[2] * rng.uniform(0.4, 0.55))
    outfit.pieces.append(hull_piece(cuboid(centre, sides, 0.35), {"chest": 0.8, "spine": 0.2}))


def _hip_bag(outfit: _Outfit) -> None:
    """Add a bag at the hip or before the belly, on a strap that does not show."""
    body, rng = outfit.body, outfit.rng
    height = body.pivot("pelvis")[2] * rng.uniform(0.88, 1.02)
    front, back, side = outfit.tailor.slab(height)
    sides = np.array((rng.uniform(0.12, 0.2), rng.uniform(0.05, 0.08), rng.uniform(0.1, 0.2))) * body.height
    middle = (front + back) / 2
    centre = (middle + rng.uniform(-0.04, 0.04), SIGN[outfit.side()] * (side + 0.4 * sides[1]), height)
    outfit.pieces.append(hull_piece(cuboid(centre, sides, 0.3), {"pelvis": 0.8, "spine": 0.2}))


def _carried_bag(outfit: _Outfit) -> None:
    """Put a handbag, a shopping bag or a suitcase into a hand."""
    body, rng, side = outfit.body, outfit.rng, outfit.side()
    place: Vector = (0.05, rng.uniform(0.2, 0.3), -0.94)
    fist = grip(body, side, place)
    drop = fist[2] - 0.06
    sides = np.array((rng.uniform(0.15, 0.3), rng.uniform(0.04, 0.12), rng.uniform(0.12, 0.28))) * body.height
    sides[2] = min(sides[2], 0.85 * drop)
    handle = min(0.1 * body.height, drop - sides[2])
    centre = fist - (0, 0, handle + sides[2] / 2)
    strap = [fist + (0, 0, 0.01), fist - (0, 0, handle + 0.1 * sides[2])]
    joint = f"{side}_hand"
    for points in (cuboid(centre, sides, 0.25), rod(strap[0], strap[1], 0.015)):
        outfit.pieces.append(hull_piece(to_rest(body, joint, side, place, points), {joint: 1.0}))
    outfit.holds[side] = place


def _stick(outfit: _Outfit) -> None:
    """Put a walking stick, a broom or a pole into a hand."""
    body, rng, side = outfit.body, outfit.rng, outfit.side()
    place: Vector = (0.28, 0.25, -0.72)
    fist = grip(body, side, place)
    long = rng.random() < 0.4
    above = rng.uniform(0.3, 0.6) * body.height if long else 0.04
    foot = fist * (1, 1, 0) + (rng.uniform(-0.05, 0.15), 0, 0.05 * body.height)
    top = fist + (fist - foot) / np.linalg.norm(fist - foot) * above
    joint = f"{side}_hand"
    points = to_rest(body, joint, side, place, rod(foot, top, rng.uniform(0.012, 0.02)))
    outfit.pieces.append(hull_piece(points, {joint: 1.0}))
    outfit.holds[side] = place


def _box(outfit: _Outfit) -> None:
    """Let both hands carry a box or a ball before the body."""
    body, rng = outfit.body, outfit.rng
    place: Vector = (rng.uniform(0.5, 0.62), rng.uniform(-0.22, 0.05), rng.uniform(-0.6, -0.3))
    hands = wrist(body, "left", place)
    apart = 2 * hands[1]
    if rng.random() < 0.3:
        radius = max(apart / 2, 0.08)
        points = ellipsoid((hands[0] + 0.06, 0, hands[2] + 0.03), radius, 80)
    else:
        sides = np.array((rng.uniform(0.1, 0.26) * body.height, apart, rng.uniform(0.08, 0.26) * body.height))
        front = max(hands[0] + 0.05, outfit.tailor.slab(hands[2])[0] + 0.02 + sides[0] / 2)
        points = cuboid((front, 0, hands[2] + 0.3 * sides[2]), sides, 0.03)
    outfit.pieces.append(hull_piece(points, {"chest": 1.0}))
    outfit.holds |= {"left": place, "right": place}


def _ball(outfit: _Outfit) -> None:
    """Put a ball under an arm or on a hand."""
    body, rng, side = outfit.body, outfit.rng, outfit.side()
    place: Vector = (0.15, 0.35, -0.72)
    radius = rng.uniform(0.07, 0.13)
    fist = grip(body, side, place)
    joint = f"{side}_hand"
    centre = fist - (0, SIGN[side] * 0.8 * radius, 0.2 * radius)
    points = to_rest(body, joint, side, place, ellipsoid(centre, radius, 80))
    outfit.pieces.append(hull_piece(points, {joint: 1.0}))
    outfit.holds[side] = place


def _umbrella(outfit: _Outfit) -> None:
    body, rng, side = outfit.body, outfit.rng, outfit.side()
    place: Vector = (rng.uniform(0.38, 0.5), rng.uniform(-0.3, -0.1), rng.uniform(-0.3, -0.05))
    hand = wrist(body, side, place) + (0.05, 0, 0.04)
    top = np.array((hand[0] * 0.8, hand[1] * 0.8, body.height * rng.uniform(1.1, 1.22)))
    radius = rng.uniform(0.4, 0.6) * np.sqrt(body.height / 1.7)
    outfit.pieces.append(hull_piece(rod(hand - (0, 0, 0.1), top, 0.012), {"chest": 1.0}))
    angles = np.arange(16) * 2 * np.pi / 16
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(16)], axis=1)
    bow = rng.uniform(0.25, 0.45)
    outside = [(0.02, 0.0), (0.35, -0.13), (0.7, -0.5), (1.0, -1.0)]
    inside = [(0.97, -1.02), (0.66, -0.56), (0.3, -0.2), (0.02, -0.08)]
    rings = [ring * r * radius + top + (0, 0, bow * radius * z) for r, z in outside + inside]
    weights = np.zeros((8 * 16, len(JOINTS)))
    weights[:, JOINTS.index("chest")] = 1
    outfit.pieces.append(Piece(np.concatenate(rings), loft_faces(8, 16), weights))
    outfit.holds[side] = place


_BELOW: dict[Addition, float] = {_nothing: 0.2, _trousers: 0.4, _wide_trousers: 0.18, _skirt: 0.13, _dress: 0.09}
_ABOVE: dict[Addition, float] = {_nothing: 0.25, _shirt: 0.35, _jacket: 0.25, _coat: 0.15}
_HEAD: dict[Addition, float] = {
    _nothing: 0.12,
    _short_hair: 0.34,
    _big_hair: 0.12,
    _long_hair: 0.16,
    _tail: 0.1,
    _hat: 0.16,
}
_BACK: dict[Addition, float] = {_nothing: 0.68, _backpack: 0.2, _hip_bag: 0.12}
_HANDS: dict[Addition, float] = {
    _nothing: 0.68,
    _carried_bag: 0.1,
    _box: 0.08,
    _stick: 0.05,
    _ball: 0.04,
    _umbrella: 0.05,
}
