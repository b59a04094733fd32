"""Sources of training clips: mask-only worlds, data sets, and mixtures of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from vidamodal.data.recorded import RecordedBank
from vidamodal.types import InputError
from vidamodal.worlds.sample import WORLDS, ClipMasks, WorldBank, WorldConfig
from vidamodal.worlds.toy import toy_bank


@runtime_checkable
class Bank(Protocol):
    """A source of training clips; its length is the number of worlds or recorded clips."""

    def __len__(self) -> int: ...

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """Sample one clip of ``config.frames`` frames."""
        ...


@dataclass(frozen=True)
class MixedBank:
    """Several banks as one."""

    banks: tuple[Bank, ...]
    equal: bool = False
    """True if all banks are equally likely; otherwise all worlds and recorded clips are."""

    def __len__(self) -> int:
        return sum(map(len, self.banks))

    def sample(self, rng: np.random.Generator, config: WorldConfig) -> ClipMasks:
        """Sample one clip of a random bank."""
        sizes = np.array([1 if self.equal else len(bank) for bank in self.banks], dtype=np.float64)
        return self.banks[int(rng.choice(len(sizes), p=sizes / sizes.sum()))].sample(rng, config)


def load_bank(sources: str, seed: int, pixels: bool) -> Bank:
    """Load the training clips that a config names.

    Args:
        sources: Folders of worlds and data sets in any known format, separated by commas, or "toy". Semicolons separate
            groups that are equally likely: of "old/a,old/b;new", half of the clips are from "new".
        seed: Seed of the toy worlds.
        pixels: True to read the images of data sets.

    Raises:
        InputError: If a source is neither a folder of worlds nor a data set.
    """
    groups = [_load_group(group, seed, pixels) for group in sources.split(";")]
    return groups[0] if len(groups) == 1 else MixedBank(tuple(groups), equal=True)


def _load_group(sources: str, seed: int, pixels: bool) -> Bank:
    """Load sources whose worlds and clips are all equally likely."""
    if sources == "toy":
        return toy_bank(seed)
    banks: list[Bank] = []
    for source in map(Path, sources.split(",")):
        try:
            worlds = (source / WORLDS).is_file()
            banks.append(WorldBank.load(source) if worlds else RecordedBank.load(source, pixels))
        except InputError as error:
            raise InputError(
                f"worlds: {error}. To make worlds, run `python -m dataset_gen --masks-only --out {source} "
                f'--scenes 1000 --seed 1`; for a trial, set worlds to "toy".'
            ) from error
    return banks[0] if len(banks) == 1 else MixedBank(tuple(banks))


def recorded_banks(bank: Bank) -> Iterator[RecordedBank]:
    """Yield the data sets of a bank, without pixels.

    Raises:
        InputError: If the bank holds worlds, which have no images.
    """
    if isinstance(bank, MixedBank):
        for part in bank.banks:
            yield from recorded_banks(part)
    elif isinstance(bank, RecordedBank):
        yield RecordedBank(bank.clips, pixels=False)
    else:
        raise InputError("worlds: a segmenter learns from images, but worlds contain only masks. Name a data set.")
