"""Optimisers and learning rates of a stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from vidamodal.training.config import StageConfig

MUON_PARTS = (".blocks.",)
"""Parts of the names of the modules whose matrices Muon updates."""


class SeveralOptimizers(torch.optim.Optimizer):
    """Several optimisers of different weights as one; their state is numbered in the order of their groups."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        self._counts = [len(part.param_groups) for part in parts]
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let the parts use these groups and this state."""
        start = 0
        for part, count in zip(self.parts, self._counts, strict=True):
            part.param_groups, part.state = self.param_groups[start : start + count], self.state
            start += count

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all weights once, after calling a closure that computes the gradients and returns the loss."""
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of all parts."""
        super().load_state_dict(state_dict)
        self._share()


def make_optimizer(module: nn.Module, settings: StageConfig) -> torch.optim.Optimizer:
    """Return the optimiser of the weights that require gradients.

    AdamW updates all of them, or, with Muon, those that are not matrices of attention blocks. Under AdamW, all weights
    decay except for biases and norms. Muon (https://kellerjordan.github.io/posts/muon) replaces the momentum of a
    matrix by the nearest matrix with orthogonal rows or columns, scaled to the size of AdamW's updates, so that both
    use the same rate.

    Args:
        module: The module in training.
        settings: Optimiser, rate, decay and betas.
    """
    named = [(name, weight) for name, weight in module.named_parameters() if weight.requires_grad]
    turned = [weight for name, weight in named if settings.optimizer == "muon" and _is_for_muon(name, weight)]
    chosen = {id(weight) for weight in turned}
    groups = parameter_groups([weight for _, weight in named if id(weight) not in chosen], settings.decay)
    adamw = torch.optim.AdamW(groups, lr=settings.rate, betas=settings.betas)
    if not turned:
        return adamw
    muon = torch.optim.Muon(turned, lr=settings.rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return SeveralOptimizers([muon, adamw])


def _is_for_muon(name: str, weight: Tensor) -> bool:
    return weight.ndim == 2 and any(part in f".{name}" for part in MUON_PARTS)


def parameter_groups(weights: Sequence[Tensor], decay: float) -> list[dict[str, Any]]:
    """Return AdamW's parameter groups: weights of two or more dimensions decay; biases and norms do not."""
    return [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]


def schedule(step: int, settings: StageConfig) -> float:
    """Return the factor of the learning rate after a linear warm-up.

    "cosine" falls to 1 %, "linear" to 0. "stable" stays at 1 until the last ``cooldown`` of the steps and then falls
    linearly to 0: until then the run does not depend on the number of steps.
    """
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "stable":
        return min(1.0, (settings.steps - step) / max(settings.steps - cooldown_start(settings), 1))
    share = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    if settings.schedule == "linear":
        return 1 - share
    return 0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * share))


def cooldown_start(settings: StageConfig) -> int:
    """Return the step from which the rate of the stable schedule falls."""
    return settings.steps - round(settings.cooldown * settings.steps)
