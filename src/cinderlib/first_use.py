"""Packages that import their modules at the first use, for programs that need few of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping


def attributes(package: str, module_of: Mapping[str, str]) -> Callable[[str], object]:
    """The ``__getattr__`` of a package. Hide it from type checkers, which would accept every
    misspelt name.

    :param module_of: a name of the package -> its module. Other names are modules themselves.
    """

    def find(name: str) -> object:
        module = f"{package}.{module_of.get(name, name)}"
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as exc:
            if exc.name != module:
                raise
            raise AttributeError(f"module {package!r} has no attribute {name!r}") from None
        return getattr(found, name) if name in module_of else found

    return find


def import_all(package: str) -> None:
    """Import the modules of a package that this process has not used."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
