"""Import Kubric without TensorFlow: all it wants of it is file copying and opening, which etils.epath does as well."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from etils import epath


@contextmanager
def kubric_imports() -> Iterator[None]:
    """Import Kubric's modules inside this block, in every process and module that uses them::

        with kubric_imports():
            import kubric as kb
            from kubric.renderer.blender import Blender

    ``tensorflow`` stands for ``tensorflow.io.gfile`` only while the block lasts: left in ``sys.modules``, it would make
    other libraries believe that TensorFlow is there. A TensorFlow already imported is left alone.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    sys.modules["tensorflow"] = _tensorflow()
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


def _tensorflow() -> Any:
    module: Any = types.ModuleType("tensorflow")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorflow", loader=None)
    module.io = types.SimpleNamespace(gfile=types.SimpleNamespace(GFile=_open, copy=_copy))
    return module


def _open(path: str, mode: str = "r") -> IO[Any]:
    return epath.Path(path).open(mode)


def _copy(source: epath.PathLike, target: epath.PathLike, overwrite: bool = False) -> None:
    epath.Path(source).copy(target, overwrite=overwrite)
