"""Scripts of key poses for what people do where they are: stand, sit, bend, dance, fall.

A script returns times in seconds and a key pose for each. ``style`` draws what belongs to the motion, and ``rng`` when
it begins within the clip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dataset_gen.actors.key_poses import KeyPose
from vidamodal.worlds.spec import Vector

Timeline = tuple[list[float], list[KeyPose]]
Script = Callable[[np.random.Generator, np.random.Generator, float], Timeline]
"""A style, the randomness of the clip, and the length of the clip in seconds."""

ARM_PLACES: dict[str, Vector] = {
    "akimbo": (-0.02, 0.28, -0.62),
    "behind": (-0.34, -0.05, -0.72),
    "chest": (0.42, -0.2, -0.25),
    "crossed": (0.4, -0.42, -0.3),
    "ear": (0.12, -0.02, 0.25),
    "head": (0.1, -0.05, 0.42),
    "mouth": (0.38, -0.25, 0.12),
    "phone": (0.5, -0.12, -0.12),
    "pocket": (0.1, 0.16, -0.78),
    "point": (0.85, 0.2, 0.12),
    "side": (0.2, 0.75, -0.2),
    "strap": (0.3, 0.0, -0.12),
    "up": (0.15, 0.15, 0.9),
}
"""Places of a wrist from the shoulder, forwards, outwards and up, in lengths of the arm."""

CASUAL = ("akimbo", "behind", "chest", "ear", "mouth", "phone", "phone", "pocket", "pocket", "pocket", "strap", "strap")
"""Places where hands are while people walk, the frequent ones several times."""

_HANG: Vector = (0.08, 0.2, -0.93)


def _jitter(rng: np.random.Generator, place: Vector, size: float = 0.05) -> Vector:
    x, y, z = (np.array(place) + rng.normal(0, size, 3)).tolist()
    return x, y, z


def _hand(rng: np.random.Generator, rest: float = 0.4) -> Vector:
    """Return the place of a hand: hanging with probability ``rest``, otherwise one of ``ARM_PLACES``."""
    if rng.random() < rest:
        return _jitter(rng, _HANG, 0.03)
    names = list(ARM_PLACES)
    return _jitter(rng, ARM_PLACES[names[rng.integers(len(names))]])


def _times(style: np.random.Generator, rng: np.random.Generator, length: float, low: float, high: float) -> list[float]:
    """Return times from before the clip until after it with gaps in a range."""
    times = [-rng.uniform(0, high)]
    while times[-1] < length:
        times.append(times[-1] + style.uniform(low, high))
    return times


def stand_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Stand, shift the weight, and move the hands now and then."""
    apart, ahead = style.uniform(-0.05, 0.25), style.normal(0, 0.08)
    base = KeyPose(left_foot=(ahead, apart / 2, 0), right_foot=(-ahead, apart / 2, 0))
    times = _times(style, rng, length, 0.7, 2.5)
    poses = []
    for _ in times:
        sway = style.normal(0, 0.05)
        poses.append(
            replace(
                base,
                hips=(style.normal(0, 0.02), sway, style.uniform(0.955, 0.985)),
                pelvis=(0.8 * sway, style.normal(0.03, 0.05), style.normal(0, 0.2)),
                back=(-1.2 * sway, style.normal(0.04, 0.08), style.normal(0, 0.2)),
                head=(style.normal(0, 0.08), style.normal(0.08, 0.2), style.normal(0, 0.45)),
                left_hand=_hand(style),
                right_hand=_hand(style),
            )
        )
    return times, poses


def sit_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Sit on a chair or on the floor; sometimes sit down or stand up."""
    kind = ("chair", "chair", "knees up", "legs ahead", "kneeling")[style.integers(5)]
    lean = style.normal(0.0, 0.15)
    hands = [_jitter(style, (0.55, 0.0, -0.55)), _jitter(style, (0.55, 0.0, -0.55))]
    apart = style.uniform(0.0, 0.25)
    if kind == "chair":
        ahead = style.uniform(0.3, 0.62)
        feet: list[Vector] = [(ahead + style.normal(0, 0.06), apart / 2, 0.0) for _ in range(2)]
        base = KeyPose(hips=(-0.02, 0, style.uniform(0.45, 0.56)), pelvis=(0, lean - 0.1, 0), knees=apart)
    elif kind == "knees up":
        feet = [(style.uniform(0.35, 0.6), apart / 2, 0.0) for _ in range(2)]
        base = KeyPose(hips=(0, 0, 0.06), pelvis=(0, lean - 0.25, 0), back=(0, 0.5, 0), knees=apart)
    elif kind == "legs ahead":
        feet = [(style.uniform(0.85, 0.96), apart, 0.02) for _ in range(2)]
        base = KeyPose(hips=(0, 0, 0.06), pelvis=(0, lean - 0.1, 0), back=(0, 0.3, 0), pitches=(-0.7, -0.7))
        hands = [_jitter(style, (0.5, 0.1, -0.6)), _jitter(style, (-0.3, 0.3, -0.75))]
    else:
        feet = [(-0.32, apart / 2, 0.0)] * 2
        base = KeyPose(hips=(-0.1, 0, 0.2), pelvis=(0, lean, 0), pitches=(1.5, 1.5), knees=apart)
    base = replace(base, left_foot=feet[0], right_foot=feet[1])
    times = _times(style, rng, length, 0.8, 2.5)
    poses = []
    for _ in times:
        reaching = style.random() < 0.4
        poses.append(
            replace(
                base,
                back=(style.normal(0, 0.08), base.back[1] + style.normal(0.1, 0.12), style.normal(0, 0.2)),
                head=(style.normal(0, 0.08), style.normal(0.0, 0.2), style.normal(0, 0.4)),
                left_hand=_hand(style, 0.0) if reaching else hands[0],
                right_hand=_hand(style, 0.0) if style.random() < 0.3 else hands[1],
            )
        )
    if kind != "kneeling" and style.random() < 0.35:
        return _from_standing(poses[0], rng, length, style.uniform(0.8, 1.6))
    return times, poses


def _from_standing(low: KeyPose, rng: np.random.Generator, length: float, duration: float) -> Timeline:
    """Return a timeline that goes from standing to a pose during the clip, or back."""
    start = rng.uniform(-0.5 * duration, max(length - 0.5 * duration, 0.1))
    stand = KeyPose(left_foot=low.left_foot, right_foot=low.right_foot)
    place = (low.left_foot[0] + low.right_foot[0]) / 2
    stand = replace(stand, hips=(0.9 * place, 0, 0.96))
    middle = replace(
        low, hips=((stand.hips[0] + low.hips[0]) / 2, 0, (stand.hips[2] + low.hips[2]) / 2), pelvis=(0, 0.6, 0),
        pitches=(0, 0), left_hand=(0.6, 0.1, -0.6), right_hand=(0.6, 0.1, -0.6),
    )  # fmt: skip
    moments = [start, start + 0.5 * duration, start + duration]
    if rng.random() < 0.5:
        return moments, [stand, middle, low]
    return moments, [low, middle, stand]


def crouch_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Squat, on one knee or on both feet, and busy with the hands; sometimes go down or get up."""
    apart = style.uniform(0.05, 0.35)
    if style.random() < 0.4:  # on one knee
        base = KeyPose(
            hips=(-0.05, 0, style.uniform(0.48, 0.54)), pelvis=(0, style.uniform(0, 0.4), 0), knees=0.1,
            left_foot=(0.35, 0.05, 0), right_foot=(-0.5, 0.0, 0.06), pitches=(0, 1.1),
        )  # fmt: skip
    else:
        base = KeyPose(
            hips=(-0.12, 0, style.uniform(0.28, 0.45)), pelvis=(0, style.uniform(0.2, 0.6), 0), knees=2 * apart,
            left_foot=(0.0, apart / 2, 0), right_foot=(0.0, apart / 2, 0), pitches=(0.5, 0.6),
        )  # fmt: skip
    times = _times(style, rng, length, 0.6, 2.0)
    poses = [
        replace(
            base,
            back=(style.normal(0, 0.1), style.uniform(0.2, 0.7), style.normal(0, 0.25)),
            head=(0, style.normal(-0.1, 0.25), style.normal(0, 0.3)),
            left_hand=_jitter(style, (0.7, 0.05, -0.45), 0.12),
            right_hand=_jitter(style, (0.7, 0.05, -0.45), 0.12),
        )
        for _ in times
    ]
    if style.random() < 0.4:
        return _from_standing(poses[0], rng, length, style.uniform(0.7, 1.4))
    return times, poses


def bend_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Reach down to the floor or up to a shelf, and come back."""
    apart = style.uniform(0.0, 0.2)
    stand = KeyPose(left_foot=(0.06, apart / 2, 0), right_foot=(-0.06, apart / 2, 0))
    if style.random() < 0.65:
        deep = style.uniform(0.6, 1.25)
        knees = style.uniform(0.0, 0.3)
        goal = replace(
            stand,
            hips=(-0.14 * deep, 0, 0.95 - knees), pelvis=(0, 0.75 * deep, 0), back=(0, 0.75 * deep, 0.1),
            head=(0, style.uniform(-0.6, 0.1), 0),
            left_hand=_jitter(style, (0.85, 0.05, -0.1), 0.1), right_hand=_jitter(style, (0.8, 0.05, -0.3), 0.15),
        )  # fmt: skip
    else:
        goal = replace(
            stand, hips=(0.03, 0, 1.02), back=(0.0, -0.12, style.normal(0, 0.2)), head=(0, -0.5, 0),
            pitches=(0.4, 0.4), left_hand=(0.45, 0.05, style.uniform(0.5, 0.85)),
            right_hand=_hand(style, 0.5) if style.random() < 0.5 else (0.45, 0.05, style.uniform(0.5, 0.85)),
        )  # fmt: skip
    times = _times(style, rng, length, 0.6, 1.5)
    return times, [goal if k % 2 else stand for k in range(len(times))]


def kick_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Kick a ball again and again."""
    high, strength = style.uniform(0.1, 0.55), style.uniform(0.6, 1.0)
    arms: Vector = (-0.2, 0.6, -0.55)
    rest = KeyPose(left_foot=(0.1, 0, 0), right_foot=(-0.15, 0.0, 0), hips=(0, 0, 0.94), pitches=(0, 0.2))
    back = replace(
        rest, hips=(0.05, 0.08, 0.93), pelvis=(0, 0.15, -0.35), back=(0, 0.1, 0.3), left_hand=(0.4, 0.5, -0.5),
        right_foot=(-0.55 * strength, 0.1, 0.35), pitches=(0, 1.0), right_hand=arms,
    )  # fmt: skip
    hit = replace(
        rest, hips=(0.1, 0.08, 0.93), pelvis=(0, -0.1, 0.25), back=(0, 0.25, -0.25), left_hand=arms,
        right_foot=(0.3 + 0.45 * strength, -0.05, 0.12), pitches=(0, 0.5), right_hand=(0.3, 0.4, -0.7),
    )  # fmt: skip
    follow = replace(hit, pelvis=(0, -0.25, 0.4), right_foot=(0.55 + 0.2 * strength, -0.1, high), pitches=(0.1, 0.2))
    pause = style.uniform(0.1, 0.6)
    beats = np.cumsum([0.0, 0.3, 0.18, 0.14, 0.4, pause])
    poses = [rest, back, hit, follow, rest]
    start = -rng.uniform(0, float(beats[-1]))
    rounds = int(np.ceil((length - start) / float(beats[-1]))) + 1
    times = [start + k * float(beats[-1]) + float(beat) for k in range(rounds) for beat in beats[:-1]]
    return times, poses * rounds


def throw_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Throw, or swing a racket or a bat, again and again."""
    both = style.random() < 0.3
    low = style.random() < 0.35
    rest = KeyPose(
        left_foot=(0.2, 0.05, 0), right_foot=(-0.2, 0.1, 0), hips=(0, 0, 0.9), left_hand=(0.45, 0.0, -0.4),
        right_hand=(0.4, 0.0, -0.4), back=(0, 0.15, 0),
    )  # fmt: skip
    wind: Vector = (-0.45, 0.55, -0.3) if low else (-0.3, 0.5, 0.35)
    end: Vector = (0.75, -0.1, 0.1) if low else (0.8, -0.2, -0.2)
    back = replace(
        rest, hips=(-0.1, 0, 0.9), pelvis=(0, 0, -0.5), back=(0, -0.05, -0.6), right_hand=_jitter(style, wind),
        left_hand=(0.1, -0.45, 0.0) if both else (0.6, 0.1, 0.1), head=(0, 0, 0.7),
    )  # fmt: skip
    hit = replace(
        rest, hips=(0.12, 0, 0.9), pelvis=(0, 0.1, 0.35), back=(0, 0.25, 0.45), right_hand=_jitter(style, end),
        left_hand=(0.7, -0.35, 0.0) if both else (-0.1, 0.4, -0.6), pitches=(0, 0.6), head=(0, 0, -0.4),
    )  # fmt: skip
    beats = np.cumsum([0.0, style.uniform(0.3, 0.6), style.uniform(0.12, 0.22), style.uniform(0.3, 0.8), 0.2])
    start = -rng.uniform(0, float(beats[-1]))
    rounds = int(np.ceil((length - start) / float(beats[-1]))) + 1
    times = [start + k * float(beats[-1]) + float(beat) for k in range(rounds) for beat in beats[:-1]]
    return times, [rest, back, hit, rest] * rounds


def fall_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Fall down or lie; sometimes get up again, which is the same backwards."""
    stand = KeyPose(left_foot=(0.08, 0, 0), right_foot=(-0.08, 0, 0))
    spread = style.uniform(0.0, 0.4)
    if style.random() < 0.5:  # forwards
        half = replace(
            stand, hips=(0.45, 0, 0.7), pelvis=(0.1, 0.8, 0), back=(0, 0.3, 0), pitches=(0.9, 0.9),
            left_hand=(0.7, 0.2, 0.2), right_hand=(0.7, 0.25, 0.2),
        )  # fmt: skip
        lying = replace(
            stand, hips=(1.22, 0, 0.06), pelvis=(0, 1.52, 0), head=(0, -0.3, 0.6), pitches=(1.6, 1.6),
            left_hand=(0.06, 0.5, 0.55), right_hand=_jitter(style, (0.04, 0.5, -0.4), 0.04),
            left_foot=(0.03, spread, 0.0), right_foot=(0.03, spread, 0.0), knees=0.3 + spread,
        )  # fmt: skip
    else:
        half = replace(
            stand, hips=(-0.35, 0, 0.5), pelvis=(0.1, -0.4, 0), back=(0, 0.5, 0), pitches=(-0.4, -0.4),
            left_hand=(-0.3, 0.5, -0.6), right_hand=(0.5, 0.4, -0.3),
        )  # fmt: skip
        lying = replace(
            stand, hips=(-style.uniform(0.75, 1.03), 0, 0.05), pelvis=(0, -1.5, 0), head=(0, 0.2, 0.4),
            pitches=(-1.2, -1.2),
            left_hand=_jitter(style, (0.1, 0.7, -0.4), 0.15), right_hand=_jitter(style, (0.1, 0.5, 0.4), 0.2),
            left_foot=(-style.uniform(0.0, 0.5), spread, 0.0), right_foot=(0.0, spread, 0.0), knees=0.1,
        )  # fmt: skip
    moving = replace(lying, left_hand=_jitter(style, lying.left_hand, 0.04), head=_jitter(style, lying.head, 0.2))
    fast = style.uniform(0.5, 0.9)
    start = rng.uniform(-fast, max(length - fast, 0.1))
    if style.random() < 0.3:  # get up
        return [start, start + 1.2, start + 2.2], [lying, half, stand]
    return [start, start + 0.6 * fast, start + fast, start + fast + 2], [stand, half, lying, moving]


def dance_script(style: np.random.Generator, rng: np.random.Generator, length: float) -> Timeline:
    """Dance or do gymnastics: smooth ways between random key poses, on the beat."""
    beat = style.uniform(0.3, 0.8)
    poses = [_dance_pose(style) for _ in range(style.integers(3, 7))]
    poses += [pose.mirrored() for pose in poses] if style.random() < 0.6 else []
    start = -rng.uniform(0, beat)
    first = int(rng.integers(len(poses)))
    count = int(np.ceil((length - start) / beat)) + 1
    return [start + beat * k for k in range(count)], [poses[(first + k) % len(poses)] for k in range(count)]


def _dance_pose(style: np.random.Generator) -> KeyPose:
    apart, drop = style.uniform(-0.1, 0.5), abs(style.normal(0, 0.12))
    lifted = max(0.0, style.normal(-0.1, 0.3))
    sway = style.normal(0, 0.1)
    return KeyPose(
        hips=(style.normal(0, 0.04), sway if not lifted else -0.08, 0.97 - min(drop, 0.4)),
        pelvis=(style.normal(0, 0.12), style.normal(0.05, 0.15), style.normal(0, 0.35)),
        back=(style.normal(0, 0.2), style.normal(0.05, 0.2), style.normal(0, 0.35)),
        head=(style.normal(0, 0.12), style.normal(0, 0.2), style.normal(0, 0.4)),
        left_hand=_anywhere(style),
        right_hand=_anywhere(style),
        left_foot=(style.normal(0, 0.1) + 0.5 * lifted, apart / 2, min(lifted, 0.55)),
        right_foot=(style.normal(0, 0.1), apart / 2, 0.0),
        pitches=(0.7 if lifted else style.choice([0.0, 0.5]), 0.0),
        knees=style.uniform(0.1, 0.5),
    )


def _anywhere(style: np.random.Generator) -> Vector:
    """Return a place that a hand reaches without passing through the body."""
    if style.random() < 0.3:
        return _hand(style)
    direction = style.normal(0, 1, 3) + (0.35, 0.5, 0.0)
    x, y, z = (style.uniform(0.6, 0.97) * direction / np.linalg.norm(direction)).tolist()
    return max(x, -0.4), max(y, 0.05), z
