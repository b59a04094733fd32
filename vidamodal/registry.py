"""Plug-in registry: classes with an explicit ``ID``, discovered by scanning the modules of a package."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

T = TypeVar("T")


def find_classes(package: ModuleType, base: type[T]) -> dict[str, type[T]]:
    """Return the subclasses of ``base`` in the modules and subpackages of ``package``, by their ``ID``.

    A subpackage takes part with what its ``__init__`` imports. Dropping a file into the package is enough to register
    the class that it defines.

    Raises:
        ValueError: If two classes have the same ``ID``.
    """
    classes: dict[str, type[T]] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for value in vars(module).values():
            if not isinstance(value, type) or not issubclass(value, base) or not hasattr(value, "ID"):
                continue
            identity: str = value.ID
            if classes.setdefault(identity, value) is not value:
                raise ValueError(f"{classes[identity].__module__} and {value.__module__} both have the ID {identity!r}")
    return dict(sorted(classes.items()))
