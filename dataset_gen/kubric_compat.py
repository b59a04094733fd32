"""Import of Kubric without TensorFlow.

Kubric only needs TensorFlow to copy and open files, and etils.epath can do both.
"""

from __future__ import annotations

import importlib.machinery
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from etils import epath


@contextmanager
def kubric_imports() -> Iterator[None]:
    """Allow imports of Kubric's modules inside this block.

    Every module that uses Kubric needs it:

        with kubric_imports():
            import kubric as kb
            from kubric.renderer.blender import Blender

    A stand-in for ``tensorflow`` exists only inside the block: if it stayed in ``sys.modules``, other libraries would
    assume that TensorFlow is installed. If TensorFlow is already imported, it is used. The temporary folders that
    Kubric makes while it is imported, as default values of arguments, are removed.
    """
    has_tensorflow = "tensorflow" in sys.modules
    usual = tempfile.tempdir
    with tempfile.TemporaryDirectory() as temporary:
        try:
            tempfile.tempdir = temporary
            if not has_tensorflow:
                sys.modules["tensorflow"] = _tensorflow_stand_in()
            yield
        finally:
            tempfile.tempdir = usual
            if not has_tensorflow:
                del sys.modules["tensorflow"]


def _tensorflow_stand_in() -> types.ModuleType:
    module: Any = types.ModuleType("tensorflow")
    module.__spec__ = importlib.machinery.ModuleSpec("tensorflow", loader=None)
    module.io = types.SimpleNamespace(gfile=types.SimpleNamespace(GFile=_open, copy=_copy))
    stand_in: types.ModuleType = module
    return stand_in


def _open(path: str, mode: str = "r") -> IO[Any]:
    file: IO[Any] = epath.Path(path).open(mode)
    return file


def _copy(source: epath.PathLike, target: epath.PathLike, overwrite: bool = False) -> None:
    epath.Path(source).copy(target, overwrite=overwrite)
