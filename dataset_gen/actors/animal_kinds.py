"""Kinds of animals, with their measures and habits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dataset_gen.actors import bird_kinds, hoofed_kinds, pawed_kinds
from dataset_gen.actors.anatomy import Anatomy
from dataset_gen.actors.proportions import Habits

_GRAZERS = ("stand", "graze", "lie")

ANIMALS: dict[str, tuple[Callable[[np.random.Generator], Anatomy], Habits]] = {
    "bear": (pawed_kinds.bear, Habits(("walk", "gallop"), ("stand", "graze", "sit", "lie"), 9.0, (0.0, 0.1))),
    "camel": (hoofed_kinds.camel, Habits(("pace", "trot"), _GRAZERS, 8.0)),
    "cat": (pawed_kinds.cat, Habits(("walk", "trot", "gallop"), ("stand", "sit", "lie"), 8.0, (0.1, 0.5), (-0.4, 0.9))),
    "chicken": (bird_kinds.chicken, Habits(("strut", "run"), ("stand", "graze"), 3.5)),
    "cow": (hoofed_kinds.cow, Habits(("walk", "trot"), _GRAZERS, 5.0)),
    "deer": (hoofed_kinds.deer, Habits(("walk", "trot", "gallop"), _GRAZERS, 14.0, (0.1, 0.4), (0.0, 0.8))),
    "dog": (
        pawed_kinds.dog,
        Habits(("walk", "trot", "gallop"), ("stand", "graze", "sit", "lie"), 11.0, (0.1, 0.7), (-0.5, 0.9)),
    ),
    "elephant": (hoofed_kinds.elephant, Habits(("walk", "pace"), ("stand",), 5.0)),
    "flamingo": (bird_kinds.flamingo, Habits(("strut",), ("stand", "graze"), 2.0)),
    "fox": (
        pawed_kinds.fox,
        Habits(("walk", "trot", "gallop"), ("stand", "graze", "sit", "lie"), 10.0, (0.1, 0.3), (-0.3, 0.3)),
    ),
    "giraffe": (hoofed_kinds.giraffe, Habits(("pace", "gallop"), ("stand",), 11.0, neck=(-0.5, 0.2))),
    "goat": (hoofed_kinds.goat, Habits(("walk", "trot", "gallop"), _GRAZERS, 8.0)),
    "goose": (bird_kinds.goose, Habits(("strut",), ("stand", "graze"), 2.0, (0.1, 0.3), neck=(-0.3, 0.1))),
    "gull": (bird_kinds.gull, Habits((), (), 12.0, (0.0, 0.1))),
    "horse": (hoofed_kinds.horse, Habits(("walk", "trot", "gallop"), _GRAZERS, 15.0)),
    "kangaroo": (pawed_kinds.kangaroo, Habits(("hop",), ("stand",), 9.0, (0.0, 0.15), (0.0, 0.1))),
    "monkey": (pawed_kinds.monkey, Habits(("walk", "gallop"), ("stand", "sit"), 6.0, (0.2, 0.6), (-0.3, 0.4))),
    "ostrich": (bird_kinds.ostrich, Habits(("strut", "run"), ("stand", "graze"), 14.0)),
    "pig": (hoofed_kinds.pig, Habits(("walk", "trot"), ("stand", "graze", "lie"), 4.0)),
    "rabbit": (pawed_kinds.rabbit, Habits(("bound",), ("stand", "graze"), 8.0, (0.0, 0.1))),
    "sheep": (hoofed_kinds.sheep, Habits(("walk", "trot"), _GRAZERS, 6.0)),
    "stork": (bird_kinds.stork, Habits(("strut",), ("stand", "graze"), 2.0)),
}
"""Animals by kind: the function that draws the measures of one, and the habits of the kind."""
