"""How people sit or stand on what carries them: hips on the seat, hands on the grips, feet on the pedals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.anatomy import Body as AnimalBody
from dataset_gen.actors.bodies import JOINT, Body
from dataset_gen.actors.gaits import leg_length
from dataset_gen.actors.key_poses import ARM, KeyPose, Moves, arm_to, between, posture
from dataset_gen.actors.outfits import Dressed
from dataset_gen.actors.rig import SIDES, SIGN, Posture, limb_lengths, rotation_vectors
from dataset_gen.actors.vehicle_frames import Mount
from vidamodal.worlds.spec import joint_transforms, rotation_matrices

_FOOT = {"left": 18, "right": 21}
"""First number of a foot among the values of `Moves`."""
_PITCHES = 24
_BALL = 0.1
"""Distance between ankle and ball of the foot in metres."""


@dataclass(frozen=True)
class Seat:
    """A person on a mount: the posture, and the place of the mesh."""

    person: Dressed
    mount: Mount
    pose: KeyPose
    offset: Float[np.ndarray, " 3"]
    """Added to the vertices of the person at rest, in metres."""
    reach: bool
    """True if the hands hold the grips."""


def horse_seat(body: AnimalBody) -> Mount:
    """Return the mount on the back of a horse: the rider's hands are over the withers, the feet beside the girth."""
    torso = body.anatomy.torso
    x, z, high, wide = torso[len(torso) // 2]
    top = z + high * 0.94
    grips = ((x + 0.32, 0.08, top + 0.18), (x + 0.32, -0.08, top + 0.18))
    return Mount((x, 0.0, top), grips, (x + 0.08, 0.0, top - 0.72), pedal=wide + 0.1)


def seat_on(person: Dressed, mount: Mount, kind: str, rng: np.random.Generator) -> Seat:
    """Return a person on a mount, bent forwards as far as the hands need to reach the grips."""
    body = person.naked
    reach = kind != "skateboarder"
    pelvis = np.array(mount.seat, dtype=np.float64)
    if mount.stands:
        bent = rng.uniform(0.8, 0.93) if kind == "skateboarder" else rng.uniform(0.93, 0.98)
        pelvis += (-0.05, 0.0, _ankle(body) + bent * leg_length(body) + _rise(body))
    else:
        pelvis[2] += 0.07 * body.height / 1.7 + _rise(body)
    lean = rng.uniform(0.0, 0.1)
    seat = _seat(person, mount, kind, pelvis, float(lean), reach)
    while reach and lean < 1.1 and _stretch(seat) > 0.9:
        lean += 0.05
        seat = _seat(person, mount, kind, pelvis, float(lean), reach)
    return seat


def _rise(body: Body) -> float:
    """Return the height of the pelvis joint above the hips."""
    return float(body.pivot("pelvis")[2] - body.pivot("left_thigh")[2])


def _ankle(body: Body) -> float:
    return float(body.pivot("left_foot")[2])


def _seat(person: Dressed, mount: Mount, kind: str, pelvis: Float[np.ndarray, " 3"], lean: float, reach: bool) -> Seat:
    body = person.naked
    leg, ankle = leg_length(body), body.pivot("left_foot")
    x, z = (pelvis[0] - ankle[0]) / leg, (pelvis[2] - ankle[2] - _rise(body)) / leg
    yaw = -1.2 if kind == "skateboarder" else 0.0
    pose = KeyPose(
        hips=(float(x), 0.0, float(z)),
        pelvis=(0.0, 0.5 * lean + (0.15 if yaw else 0.0), yaw),
        back=(0.0, 0.8 * lean, 0.3 * yaw),
        head=(0.0, -0.9 * lean, -0.8 * yaw),
        knees=0.35 if kind == "horse_rider" else 0.12,
    )
    if not reach:
        pose = replace(pose, left_hand=(0.2, 0.7, -0.45), right_hand=(0.2, 0.75, -0.4))
    return Seat(person, mount, pose, pelvis - body.pivot("pelvis"), reach)


def ridden(seat: Seat, travelled: Float[np.ndarray, " t"], fps: float, rng: np.random.Generator) -> Posture:
    """Return the posture of a rider in each frame; the feet go round with the crank."""
    mount = seat.mount
    turns = 2 * np.pi * travelled / mount.development if mount.development else np.zeros(len(travelled))
    made, _ = posture(seat.person.naked, _moves(seat, turns))
    time = np.arange(len(travelled)) / fps
    glance = rng.uniform(0, 0.35) * np.sin(2 * np.pi * (rng.uniform(0.1, 0.4) * time + rng.random()))
    cosine, sine, zero = np.cos(glance), np.sin(glance), np.zeros_like(glance)
    yaw = np.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, zero + 1], axis=1).reshape(-1, 3, 3)
    made.head = made.head @ yaw
    if seat.reach:
        for side, place in zip(SIDES, _grips(seat, made), strict=True):
            made.arms[side] = arm_to(seat.person.naked, side, np.tile(place, (len(travelled), 1)))
    return made


def _moves(seat: Seat, turns: Float[np.ndarray, " t"]) -> Moves:
    body, mount = seat.person.naked, seat.mount
    moves = between([0.0], [seat.pose], turns)
    for number, side in enumerate(SIDES):
        phase = turns + np.pi * number
        place = np.zeros((len(turns), 3))
        place[:, 0] = mount.feet[0] + mount.crank * np.cos(phase) - _BALL
        place[:, 1] = mount.pedal
        place[:, 2] = mount.feet[2] - mount.crank * np.sin(phase) + _ankle(body)
        if mount.stands:  # one foot before the other
            place[:, 0] += (0.14, -0.1)[number] * (1.6 if not seat.reach else 1.0)
        rest = np.array(
            [body.pivot(f"{side}_foot")[0], SIGN[side] * body.pivot(f"{side}_thigh")[1] * 0.9, _ankle(body)]
        )
        moves.values[:, _FOOT[side] : _FOOT[side] + 3] = (place - rest) / leg_length(body)
        if mount.crank:
            moves.values[:, _PITCHES + number] += 0.15 + 0.2 * np.cos(phase)
    return moves


def _grips(seat: Seat, made: Posture) -> list[Float[np.ndarray, " 3"]]:
    """Return the grips in lengths of the arms, as ``key_poses.arm_to`` has them."""
    body = seat.person.naked
    turns, moves = joint_transforms(rotation_matrices(rotation_vectors(body, made)[0]), body.skeleton)
    places = []
    for side, grip in zip(SIDES, seat.mount.hands, strict=True):
        joint = JOINT[f"{side}_upper_arm"]
        shoulder = turns[joint] @ body.pivot(f"{side}_upper_arm") + moves[joint] + seat.offset
        wrist = np.asarray(grip) + (-0.07, 0.0, 0.03)
        way = turns[JOINT["chest"]].T @ (wrist - shoulder)
        places.append(way * (1.0, SIGN[side], 1.0) / sum(limb_lengths(body, side, ARM)))
    return places


def _stretch(seat: Seat) -> float:
    """Return the greater distance of a grip from the shoulder in lengths of the arm."""
    made, _ = posture(seat.person.naked, _moves(seat, np.zeros(1)))
    return max(float(np.linalg.norm(place)) for place in _grips(seat, made))
