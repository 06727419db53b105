"""The only change to Cinder's code: our module replaces ``cinder.db.api``.

Cinder's code reads functions from this module at each call, so it is sufficient to replace it.
This must happen before the first ``import cinder.objects``.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from cinderlib.errors import ConfigurationError

NAME = "cinder.db.api"


class _Module(types.ModuleType):
    """``cinder.db.api`` with the functions of a :class:`~cinderlib.drivers.database.Database`."""

    def __init__(self) -> None:
        super().__init__(NAME, "Cinder's database interface, implemented by cinderlib.")
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_database"], name)


def install() -> None:
    """Replace Cinder's module. A repeated call has no effect.

    :raises ConfigurationError: Cinder's own module is loaded in this process.
    """
    loaded = sys.modules.get(NAME)
    if isinstance(loaded, _Module):
        return
    if loaded is not None or "cinder.objects" in sys.modules:
        raise ConfigurationError(
            "Cinder's own database module is loaded in this process, so drivers would use a Cinder "
            "database instead of this library's store: load the first backend before the program "
            "imports cinder.objects or cinder.db"
        )
    module = _Module()
    sys.modules[NAME] = module
    try:
        from cinderlib.drivers import conditions
        from cinderlib.drivers.database import Database
        from cinderlib.drivers.scope import View

        # As attributes of the instance, because Cinder 28 copies them with a star import.
        module.__dict__["_database"] = database = Database(View())
        module.__all__ = [name for name in dir(database) if not name.startswith("_")]
        for name in ("Case", "Condition", "Not"):
            setattr(module, name, getattr(conditions, name))
            module.__all__.append(name)
        package = importlib.import_module("cinder.db")
    except BaseException:
        del sys.modules[NAME]
        raise
    package.api = module  # type: ignore[attr-defined]
