"""Video amodal segmentation: the whole masks of occluded objects, as temporally consistent tracks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# OpenMP reads this once. Threads that spin while idle make a step many times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from vidamodal.batch.predict_videos import predict_videos as predict_videos
    from vidamodal.errors import InputError as InputError
    from vidamodal.inference.api import predict as predict
    from vidamodal.inference.prediction import Prediction as Prediction
    from vidamodal.inference.stream import Stream as Stream
    from vidamodal.metrics.evaluate import evaluate as evaluate
    from vidamodal.models.folder import load_model as load_model
    from vidamodal.tracks import read_tracks as read_tracks

    __version__: str

_MODULES = {
    "InputError": "vidamodal.errors",
    "Prediction": "vidamodal.inference.prediction",
    "Stream": "vidamodal.inference.stream",
    "evaluate": "vidamodal.metrics.evaluate",
    "load_model": "vidamodal.models.folder",
    "predict": "vidamodal.inference.api",
    "predict_videos": "vidamodal.batch.predict_videos",
    "read_tracks": "vidamodal.tracks",
}
__all__ = [
    "InputError", "Prediction", "Stream", "__version__", "evaluate", "load_model", "predict", "predict_videos",
    "read_tracks",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, because torch takes seconds to import."""
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        return version("vidamodal")
    if name not in _MODULES:
        raise AttributeError(f"module 'vidamodal' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
