"""Any storage array through OpenStack Cinder's volume drivers, without running Cinder.

The names below are loaded on first use, so that a program pays only for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cinderlib import errors, exception, objects, persistence, serialization
    from cinderlib.node import Attachment, Node
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.controller import DEFAULT_PROJECT_ID, DEFAULT_USER_ID, Controller
    from cinderlib.objects.default_controller import setup
    from cinderlib.objects.functions import (
        dump,
        dumps,
        get_connector_properties,
        json,
        jsons,
        list_supported_drivers,
        load,
    )
    from cinderlib.objects.keyvalue import KeyValue
    from cinderlib.objects.snapshot import Snapshot
    from cinderlib.objects.volume import Volume
    from cinderlib.progress import Progress

_WHERE = {
    "Attachment": "cinderlib.node",
    "Backend": "cinderlib.objects.backend",
    "Connection": "cinderlib.objects.connection",
    "Controller": "cinderlib.objects.controller",
    "DEFAULT_PROJECT_ID": "cinderlib.objects.controller",
    "DEFAULT_USER_ID": "cinderlib.objects.controller",
    "KeyValue": "cinderlib.objects.keyvalue",
    "Node": "cinderlib.node",
    "Progress": "cinderlib.progress",
    "Snapshot": "cinderlib.objects.snapshot",
    "Volume": "cinderlib.objects.volume",
    "dump": "cinderlib.objects.functions",
    "dumps": "cinderlib.objects.functions",
    "get_connector_properties": "cinderlib.objects.functions",
    "json": "cinderlib.objects.functions",
    "jsons": "cinderlib.objects.functions",
    "list_supported_drivers": "cinderlib.objects.functions",
    "load": "cinderlib.objects.functions",
    "setup": "cinderlib.objects.default_controller",
}
_MODULES = ("errors", "exception", "objects", "persistence", "serialization")

__all__ = [
    "DEFAULT_PROJECT_ID",
    "DEFAULT_USER_ID",
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
    "persistence",
    "serialization",
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
