"""Finds the modules that a driver consists of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

_PACKAGE = "cinder.volume.drivers."
#: Packages of the base classes of all drivers.
_NOT_DRIVERS = {"abc", "builtins", "cinder"}


def of(driver_class: Any) -> Iterator[Any]:
    """The loaded modules of a driver: those of the class and the base classes, and the modules
    that they import from Cinder's drivers or from the driver's own package."""
    todo = [
        name
        for name in (base.__module__ for base in driver_class.__mro__)
        if name.startswith(_PACKAGE) or name.partition(".")[0] not in _NOT_DRIVERS
    ]
    packages = (_PACKAGE, *(f"{n.rpartition('.')[0]}." for n in todo if "." in n))
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen or name not in sys.modules:
            continue
        seen.add(name)
        module = sys.modules[name]
        yield module
        for value in list(vars(module).values()):
            used = _module_of(value)
            if used.startswith(packages):
                todo.append(used)


def _module_of(value: Any) -> str:
    """The name of an imported module, or of the module of an imported object."""
    is_module = type(value) is type(sys)
    return str(getattr(value, "__name__" if is_module else "__module__", ""))
