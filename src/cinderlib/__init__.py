"""Any storage array through OpenStack Cinder's volume drivers, without running Cinder.

The names below are loaded on first use, so that a program pays only for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinderlib import errors, exception, objects
    from cinderlib.backend import Backend
    from cinderlib.connection import Connection
    from cinderlib.controller import Controller
    from cinderlib.default import setup
    from cinderlib.keyvalue import KeyValue
    from cinderlib.module import (
        dump,
        dumps,
        get_connector_properties,
        json,
        jsons,
        list_supported_drivers,
        load,
    )
    from cinderlib.node import Attachment, Node
    from cinderlib.progress import Progress
    from cinderlib.snapshot import Snapshot
    from cinderlib.volume import Volume

_WHERE = {
    "Attachment": "cinderlib.node",
    "Backend": "cinderlib.backend",
    "Connection": "cinderlib.connection",
    "Controller": "cinderlib.controller",
    "KeyValue": "cinderlib.keyvalue",
    "Node": "cinderlib.node",
    "Progress": "cinderlib.progress",
    "Snapshot": "cinderlib.snapshot",
    "Volume": "cinderlib.volume",
    "dump": "cinderlib.module",
    "dumps": "cinderlib.module",
    "get_connector_properties": "cinderlib.module",
    "json": "cinderlib.module",
    "jsons": "cinderlib.module",
    "list_supported_drivers": "cinderlib.module",
    "load": "cinderlib.module",
    "setup": "cinderlib.default",
}
_MODULES = ("errors", "exception", "objects")

__all__ = [
    "Attachment",
    "Backend",
    "Connection",
    "Controller",
    "KeyValue",
    "Node",
    "Progress",
    "Snapshot",
    "Volume",
    "dump",
    "dumps",
    "errors",
    "exception",
    "get_connector_properties",
    "json",
    "jsons",
    "list_supported_drivers",
    "load",
    "objects",
    "setup",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"cinderlib.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("cinderlib")
    raise AttributeError(f"module 'cinderlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
