"""vidamodal: whole masks of objects in video, also while they are hidden, as temporally consistent tracks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Idle threads that spin instead of sleeping make a step many times slower on a busy machine; OpenMP reads this once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from vidamodal.inference.api import predict as predict
    from vidamodal.metrics.evaluate import evaluate as evaluate
    from vidamodal.models.folder import load_model as load_model

_PUBLIC = {
    "predict": "vidamodal.inference.api",
    "evaluate": "vidamodal.metrics.evaluate",
    "load_model": "vidamodal.models.folder",
}
__all__ = ["evaluate", "load_model", "predict"]


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first used: torch takes seconds."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vidamodal' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)
