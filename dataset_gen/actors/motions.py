"""What people do, as postures over time. All motions are procedural; splits draw their parameters from disjoint sets.

A motion has a *style*, a generator of its parameters that belongs to one split, while the generator of the clip says
which style it is and where in the motion the clip begins.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from dataset_gen.actors.gaits import leg_length, running, walk, walking
from dataset_gen.actors.key_poses import KeyPose, Moves, arm_to, between, posture
from dataset_gen.actors.outfits import Dressed
from dataset_gen.actors.performances import GroundPath
from dataset_gen.actors.rig import SIDES, Posture, Vectors, bent_back
from dataset_gen.actors.stances import (
    ARM_PLACES,
    CASUAL,
    Script,
    bend_script,
    crouch_script,
    dance_script,
    fall_script,
    kick_script,
    sit_script,
    stand_script,
    throw_script,
)
from dataset_gen.assets import Split

STYLES: dict[Split, int] = {"train": 400, "validation": 60, "test": 80}
"""Number of styles of each motion in each split."""


@dataclass(frozen=True)
class Act:
    """Postures over time and where the body is."""

    posture: Posture
    hips: Vectors
    """Place of the pelvis in metres in the axes of the path; its height does not count."""
    height: Float[np.ndarray, " t"]
    """Height of the lowest vertex above the floor in metres."""
    level: bool = False
    """True to put the lowest vertex of the whole clip on the floor, in place of that of each frame."""


Action = Callable[[Dressed, GroundPath, np.random.Generator, np.random.Generator], Act]
"""A person on a path with a style and the randomness of the clip."""


def perform_action(person: Dressed, action: str, path: GroundPath, rng: np.random.Generator) -> Act:
    """Return an action along a path; things in the hands keep them where they are."""
    name = f"{action}/{person.split}/{rng.integers(STYLES[person.split])}"
    style = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    act = ACTIONS[action].act(person, path, style, rng)
    count = len(path.positions)
    for side, place in person.holds.items():
        act.posture.arms[side] = arm_to(person.naked, side, np.tile(place, (count, 1)))
    return act


def _speed(path: GroundPath) -> float:
    return float(path.travelled[-1]) * path.fps / max(len(path.positions) - 1, 1)


def _moments(path: GroundPath) -> Float[np.ndarray, " t"]:
    """Return the time of each frame in seconds."""
    return np.arange(len(path.positions)) / path.fps


def _walk(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
    body = person.naked
    made, hips = walk(body, path, walking(body, _speed(path), style, rng.random()))
    if style.random() < 0.5:  # one hand or both do something else
        both = style.random() < 0.4
        name = CASUAL[style.integers(len(CASUAL))]
        for side in SIDES if both else (SIDES[style.integers(2)],):
            place = np.array(ARM_PLACES[name]) + style.normal(0, 0.03, 3)
            name = name if style.random() < 0.7 else CASUAL[style.integers(len(CASUAL))]
            sway = 0.02 * np.sin(2 * np.pi * (2 * rng.random() + _moments(path) * style.uniform(0.3, 1.5)))
            made.arms[side] = arm_to(body, side, place + sway[:, None])
    return Act(made, hips, np.zeros(len(hips)))


def _run(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
    made, hips = walk(person.naked, path, running(person.naked, _speed(path), style, rng.random()))
    return Act(made, hips, np.zeros(len(hips)))


def _carry(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
    """Walk with both hands before the body, as with a tray, a child or a push chair."""
    act = _walk(person, path, style, rng)
    place = np.array((style.uniform(0.4, 0.75), style.uniform(-0.3, 0.05), style.uniform(-0.55, -0.1)))
    for side in SIDES:
        act.posture.arms[side] = arm_to(person.naked, side, np.tile(place, (len(act.hips), 1)))
    return act


def _wave(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
    """Walk or stand with a hand in the air."""
    act = (_walk if path.travelled[-1] > 0.2 else _scripted(stand_script))(person, path, style, rng)
    beat = np.sin(2 * np.pi * (rng.random() + style.uniform(0.8, 2.2) * _moments(path)))
    wide, high = style.uniform(0.05, 0.25), style.uniform(0.45, 0.85)
    place = np.stack(
        [np.full_like(beat, style.uniform(0.0, 0.3)), 0.25 + wide * beat, high - 0.3 * wide * beat**2], axis=1
    )
    sides = SIDES if style.random() < 0.2 else (SIDES[style.integers(2)],)
    for side in sides:
        act.posture.arms[side] = arm_to(person.naked, side, place)
    return act


def _scripted(script: Script) -> Action:
    """Return the action that plays a script of key poses."""

    def act(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
        moments = _moments(path)
        times, poses = script(style, rng, float(moments[-1]))
        if style.random() < 0.5:
            poses = [pose.mirrored() for pose in poses]
        made, hips = posture(person.naked, _alive(between(times, poses, moments), moments, rng))
        return Act(made, hips, np.zeros(len(hips)))

    return act


def _alive(moves: Moves, moments: Float[np.ndarray, " t"], rng: np.random.Generator) -> Moves:
    """Add the slow sway of somebody who stands or sits."""
    values = moves.values.copy()
    rates, phases = rng.uniform(0.15, 0.5, values.shape[1]), rng.random(values.shape[1])
    sway = np.sin(2 * np.pi * (moments[:, None] * rates + phases))
    size = np.full(values.shape[1], 0.012)
    size[:3] = 0.006  # hips
    size[18:] = 0.0  # feet stay
    return Moves(values + size * sway)


def _jump(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
    """Jump again and again."""
    leg = leg_length(person.naked)
    rise = style.uniform(0.1, 0.4) * leg
    flight = 2 * np.sqrt(2 * rise / 9.81)
    contact = style.uniform(0.35, 0.7)
    phase = (_moments(path) + rng.random() * (flight + contact)) % (flight + contact)
    airborne = np.clip((phase - contact) / flight, 0, 1)
    height = np.where(phase > contact, 4 * rise * airborne * (1 - airborne), 0.0)
    deep = style.uniform(0.1, 0.35)
    arms = style.uniform(-0.2, 0.9)
    squat = KeyPose(
        hips=(-0.08, 0, 1 - deep), pelvis=(0, 1.5 * deep, 0), back=(0, 0.6 * deep, 0), pitches=(0.2, 0.2),
        left_hand=(-0.3, 0.25, -0.8), right_hand=(-0.3, 0.25, -0.8),
    )  # fmt: skip
    leave = KeyPose(hips=(0.02, 0, 1.06), pitches=(0.9, 0.9), left_hand=(0.3, 0.4, arms), right_hand=(0.3, 0.4, arms))
    tucked = style.uniform(0.0, 0.35)
    spread = style.uniform(0.0, 0.3)
    air = KeyPose(
        hips=(0, 0, 1.0), pitches=(0.6, 0.6), left_foot=(-0.1, spread, tucked), right_foot=(-0.05, spread, tucked),
        left_hand=(0.3, 0.6, arms), right_hand=(0.3, 0.6, arms),
    )  # fmt: skip
    times = [0.0, 0.45 * contact, contact, contact + 0.5 * flight, contact + 0.9 * flight, contact + flight]
    landed = KeyPose(hips=(0, 0, 0.93), pitches=(0.3, 0.3), left_hand=(0.2, 0.4, -0.3), right_hand=(0.2, 0.4, -0.3))
    made, hips = posture(person.naked, between(times, [landed, squat, leave, air, landed, landed], phase))
    return Act(made, hips, height)


def _cycle(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
    """Sit on a bicycle that is not there; the feet turn the pedals."""
    turns = 2 * np.pi * (rng.random() + path.travelled / style.uniform(3.5, 5.5))
    crank, lean = style.uniform(0.18, 0.23), style.uniform(0.15, 0.8)
    seat, back = style.uniform(0.97, 1.02) - crank, -style.uniform(0.15, 0.3)
    pose = KeyPose(
        hips=(back, 0, seat), pelvis=(0, 0.5 * lean, 0), back=(0, 0.6 * lean, 0), head=(0, -0.9 * lean, 0),
        left_hand=(0.75, 0.0, -0.45 - 0.1 * lean), right_hand=(0.75, 0.0, -0.45 - 0.1 * lean), knees=0.05,
    )  # fmt: skip
    moves = between([0.0], [pose], turns)
    for first, phase in ((18, 0.0), (21, np.pi)):
        moves.values[:, first] += crank * np.cos(turns + phase)
        moves.values[:, first + 2] += crank * (1 - np.sin(turns + phase))
    moves.values[:, 24] += 0.15 + 0.25 * np.cos(turns)
    moves.values[:, 25] += 0.15 - 0.25 * np.cos(turns)
    made, hips = posture(person.naked, moves)
    return Act(made, hips, np.zeros(len(hips)), level=True)


def _crawl(person: Dressed, path: GroundPath, style: np.random.Generator, rng: np.random.Generator) -> Act:
    """Go on hands and knees."""
    leg = leg_length(person.naked)
    step = style.uniform(0.08, 0.16)
    phase = rng.random() + path.travelled / (4 * step * leg)
    height, tilt = style.uniform(0.5, 0.56), style.uniform(1.25, 1.5)
    pose = KeyPose(
        hips=(0, 0, height), pelvis=(0, tilt, 0), back=(0, 0.1, 0), head=(0, -style.uniform(0.2, 1.0), 0),
        left_hand=(0.93, 0.0, 0.1), right_hand=(0.93, 0.0, 0.1), pitches=(1.5, 1.5), knees=0.1,
        left_foot=(-0.55, 0.05, 0.02), right_foot=(-0.55, 0.05, 0.02),
    )  # fmt: skip
    moves = between([0.0], [pose], phase)
    for first, offset in ((18, 0.0), (21, 0.5)):
        along, lifted = _creep(phase + offset)
        moves.values[:, first] += step * along
        moves.values[:, first + 2] += 0.03 * lifted
    for first, offset in ((12, 0.55), (15, 0.05)):
        along, lifted = _creep(phase + offset)
        moves.values[:, first + 2] += 1.6 * step * along
        moves.values[:, first] -= 0.12 * lifted
    moves.values[:, 5] += 0.08 * np.sin(2 * np.pi * phase)
    made, hips = posture(person.naked, moves)
    made.hands |= {side: bent_back(person.naked, side, 1.2, len(hips)) for side in SIDES}
    return Act(made, hips, np.zeros(len(hips)))


def _creep(phase: Float[np.ndarray, " t"]) -> tuple[Float[np.ndarray, " t"], Float[np.ndarray, " t"]]:
    """Return how far a hand or knee is ahead, from -1 to 1, and how high: it stands for half of a cycle."""
    part = phase % 1
    swing = np.clip(2 * part - 1, 0, 1)
    forwards = swing - np.sin(2 * np.pi * swing) / (2 * np.pi)
    return np.where(part < 0.5, 1 - 4 * part, 2 * forwards - 1), np.sin(np.pi * swing)


@dataclass(frozen=True)
class KnownAction:
    """An action with the speeds of a person of 1.7 m in metres per second, and who can do it."""

    act: Action
    speeds: tuple[float, float]
    heights: tuple[float, float] = (0.85, 3.0)
    """Heights of the people who can do it, in metres: babies crawl."""
    free_hands: bool = True
    """True if it needs both hands, or would put what they carry on the floor."""


ACTIONS: dict[str, KnownAction] = {
    "bend": KnownAction(_scripted(bend_script), (0.0, 0.0)),
    "carry": KnownAction(_carry, (0.4, 1.5)),
    "crawl": KnownAction(_crawl, (0.2, 0.6), (0.0, 1.5)),
    "crouch": KnownAction(_scripted(crouch_script), (0.0, 0.0)),
    "cycle": KnownAction(_cycle, (1.5, 7.0), (1.2, 3.0)),
    "dance": KnownAction(_scripted(dance_script), (0.0, 0.3)),
    "fall": KnownAction(_scripted(fall_script), (0.0, 0.0)),
    "jump": KnownAction(_jump, (0.0, 1.0)),
    "kick": KnownAction(_scripted(kick_script), (0.0, 0.3)),
    "run": KnownAction(_run, (2.2, 5.0), free_hands=False),
    "sit": KnownAction(_scripted(sit_script), (0.0, 0.0), (0.0, 3.0)),
    "stand": KnownAction(_scripted(stand_script), (0.0, 0.0), (0.7, 3.0), free_hands=False),
    "throw": KnownAction(_scripted(throw_script), (0.0, 0.2)),
    "walk": KnownAction(_walk, (0.6, 1.9), (0.75, 3.0), free_hands=False),
    "wave": KnownAction(_wave, (0.0, 1.2)),
}
"""Actions by name."""


def known_actions(person: Dressed) -> dict[str, KnownAction]:
    """Return the actions that fit the age of a person and what they carry."""
    height = person.naked.height
    return {
        name: known
        for name, known in ACTIONS.items()
        if known.heights[0] <= height <= known.heights[1] and not (known.free_hands and person.holds)
    }
