"""Any storage array through OpenStack Cinder's volume drivers, without running Cinder.

The names below are loaded on first use, so a program does not load modules that it does not use.
"""

from __future__ import annotations

import importlib

#: For type checkers, which treat this name as true. The module typing is not imported, because its
#: import takes as long as the rest of this one.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from cinderlib import errors, exception, objects, persistence, serialization
    from cinderlib.client.controller import RemoteController, connect
    from cinderlib.client.node import NodeClient
    from cinderlib.drivers.port_values import Extent, Extents, Manageable
    from cinderlib.node import Attachment, Leftover, Node, get_connector_properties
    from cinderlib.node.boot import PersistentAttachment, PersistentAttachments
    from cinderlib.node.checks.finding import Diagnosis, Finding
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.controller import DEFAULT_PROJECT_ID, DEFAULT_USER_ID, Controller
    from cinderlib.objects.default_controller import setup
    from cinderlib.objects.driver_attributes import DriverAttributes
    from cinderlib.objects.functions import (
        dump,
        dumps,
        json,
        jsons,
        list_supported_drivers,
        load,
    )
    from cinderlib.objects.group import Group, GroupSnapshot
    from cinderlib.objects.keyvalue import KeyValue
    from cinderlib.objects.replicating import Replication
    from cinderlib.objects.snapshot import Snapshot
    from cinderlib.objects.volume import Volume
    from cinderlib.objects.volume_type import QoSSpecs, VolumeType
    from cinderlib.observation import Activity
    from cinderlib.operations.capabilities import Capability
    from cinderlib.operations.discrepancies import Discrepancy
    from cinderlib.operations.history_query import Operation
    from cinderlib.operations.journal import Recovered
    from cinderlib.persistence.encryption import Rotation
    from cinderlib.progress import Progress
    from cinderlib.serialization.documents import VolumeDocument
    from cinderlib.streams.copying import Applied, Exported

#: The version of both distributions, cinderlib and cinderlib-node.
__version__ = "6.0.0"

#: The module that defines each name. An empty string means that the name is itself a module.
_MODULE_OF = {
    "Activity": "cinderlib.observation",
    "Applied": "cinderlib.streams.copying",
    "Attachment": "cinderlib.node",
    "Backend": "cinderlib.objects.backend",
    "Capability": "cinderlib.operations.capabilities",
    "Connection": "cinderlib.objects.connection",
    "Controller": "cinderlib.objects.controller",
    "DEFAULT_PROJECT_ID": "cinderlib.objects.controller",
    "DEFAULT_USER_ID": "cinderlib.objects.controller",
    "Diagnosis": "cinderlib.node.checks.finding",
    "Discrepancy": "cinderlib.operations.discrepancies",
    "DriverAttributes": "cinderlib.objects.driver_attributes",
    "Exported": "cinderlib.streams.copying",
    "Extent": "cinderlib.drivers.port_values",
    "Extents": "cinderlib.drivers.port_values",
    "Finding": "cinderlib.node.checks.finding",
    "Group": "cinderlib.objects.group",
    "GroupSnapshot": "cinderlib.objects.group",
    "KeyValue": "cinderlib.objects.keyvalue",
    "Leftover": "cinderlib.node",
    "Manageable": "cinderlib.drivers.port_values",
    "Node": "cinderlib.node",
    "NodeClient": "cinderlib.client.node",
    "PersistentAttachment": "cinderlib.node.boot",
    "PersistentAttachments": "cinderlib.node.boot",
    "Operation": "cinderlib.operations.history_query",
    "Progress": "cinderlib.progress",
    "QoSSpecs": "cinderlib.objects.volume_type",
    "Recovered": "cinderlib.operations.journal",
    "RemoteController": "cinderlib.client.controller",
    "Replication": "cinderlib.objects.replicating",
    "Rotation": "cinderlib.persistence.encryption",
    "Snapshot": "cinderlib.objects.snapshot",
    "Volume": "cinderlib.objects.volume",
    "VolumeDocument": "cinderlib.serialization.documents",
    "VolumeType": "cinderlib.objects.volume_type",
    "connect": "cinderlib.client.controller",
    "dump": "cinderlib.objects.functions",
    "dumps": "cinderlib.objects.functions",
    "errors": "",
    "exception": "",
    "get_connector_properties": "cinderlib.node",
    "json": "cinderlib.objects.functions",
    "jsons": "cinderlib.objects.functions",
    "list_supported_drivers": "cinderlib.objects.functions",
    "load": "cinderlib.objects.functions",
    "objects": "",
    "persistence": "",
    "serialization": "",
    "setup": "cinderlib.objects.default_controller",
}

__all__ = [
    "DEFAULT_PROJECT_ID",
    "DEFAULT_USER_ID",
    "Activity",
    "Applied",
    "Attachment",
    "Backend",
    "Capability",
    "Connection",
    "Controller",
    "Diagnosis",
    "Discrepancy",
    "DriverAttributes",
    "Exported",
    "Extent",
    "Extents",
    "Finding",
    "Group",
    "GroupSnapshot",
    "KeyValue",
    "Leftover",
    "Manageable",
    "Node",
    "NodeClient",
    "Operation",
    "PersistentAttachment",
    "PersistentAttachments",
    "Progress",
    "QoSSpecs",
    "Recovered",
    "RemoteController",
    "Replication",
    "Rotation",
    "Snapshot",
    "Volume",
    "VolumeDocument",
    "VolumeType",
    "__version__",
    "connect",
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


# Hidden from type checkers: they would accept every misspelt name as one that is loaded later.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'cinderlib' has no attribute {name!r}")
        value = _load(name)
        globals()[name] = value
        return value


def _load(name: str) -> object:
    module = _MODULE_OF[name]
    try:
        loaded = importlib.import_module(module or f"cinderlib.{name}")
    except ModuleNotFoundError as exc:
        if not (exc.name or "").startswith("cinderlib."):
            raise
        from cinderlib.errors import of_node_only

        raise of_node_only(f"cinderlib.{name}", __version__) from None
    return getattr(loaded, name) if module else loaded


def __dir__() -> list[str]:
    return sorted(__all__)
