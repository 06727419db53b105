"""The one seam into Cinder: our module in the place of ``cinder.db.api``.

Cinder's code looks its functions up at call time, so replacing this module is enough. It
must be installed before the first ``import cinder.objects``.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any

from cinderlib.errors import ConfigurationError

NAME = "cinder.db.api"


class _Module(types.ModuleType):
    """``cinder.db.api``, answered by a :class:`~cinderlib.drivers.database.Database`."""

    def __init__(self) -> None:
        super().__init__(NAME, "Cinder's database interface, answered by cinderlib.")
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.__dict__["_database"], name)


def install() -> None:
    """Put the module in place; again, it changes nothing.

    :raises ConfigurationError: Cinder's own is loaded in this process.
    """
    there = sys.modules.get(NAME)
    if isinstance(there, _Module):
        return
    if there is not None or "cinder.objects" in sys.modules:
        raise ConfigurationError(
            "Cinder's own database module is loaded in this process, so its drivers would ask a "
            "Cinder database instead of this library's store: load the first backend before "
            "anything else imports cinder.objects or cinder.db"
        )
    module = _Module()
    sys.modules[NAME] = module
    try:
        from cinderlib.drivers import conditions
        from cinderlib.drivers.database import Database
        from cinderlib.drivers.scope import View

        # Instance attributes: Cinder 28 copies them into the package by a star import.
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
