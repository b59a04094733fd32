"""Plug-in registry: classes with an explicit ``ID``, discovered by scanning the modules of a package."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TypeVar

from vidamodal.errors import InputError

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
            identity = getattr(value, "ID", None)
            if identity is None or not isinstance(value, type) or not issubclass(value, base):
                continue
            if classes.setdefault(identity, value) is not value:
                raise ValueError(f"{classes[identity].__module__} and {value.__module__} both have the ID {identity!r}")
    return dict(sorted(classes.items()))


def choose(classes: dict[str, type[T]], identity: str, noun: str) -> type[T]:
    """Return the class with this id.

    Args:
        classes: Classes by id, as `find_classes` returns them.
        identity: The id.
        noun: What the classes are, for the error message.

    Raises:
        InputError: If there is none.
    """
    if identity not in classes:
        raise InputError(f"there is no {noun} {identity!r}. Choose one of {', '.join(classes)}.")
    return classes[identity]


def find_modules(package: str) -> dict[str, ModuleType]:
    """Return the modules of a package by their ``ID``, in the order of the ids.

    Modules with a name that starts with an underscore are skipped.

    Args:
        package: Dotted name of the package, such as ``"vidamodal.baselines"``.

    Raises:
        ValueError: If a module has no ``ID``, or two modules have the same one.
    """
    modules: dict[str, ModuleType] = {}
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        identity = getattr(module, "ID", None)
        if not isinstance(identity, str):
            raise ValueError(f'{module.__name__} has no ID. Define one, such as ID = "{info.name.replace("_", "-")}".')
        if modules.setdefault(identity, module) is not module:
            raise ValueError(f"{modules[identity].__name__} and {module.__name__} both have the ID {identity!r}")
    return dict(sorted(modules.items()))
