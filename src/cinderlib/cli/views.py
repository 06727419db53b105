"""The columns of all listings, and the fields of their items."""

from __future__ import annotations

from typing import Any

from cinderlib.cli import output, references, sizes
from cinderlib.cli.view import Item, View
from cinderlib.records import (
    ConnectionRecord,
    GroupRecord,
    GroupSnapshotRecord,
    SnapshotRecord,
    VolumeRecord,
)

_STATES = frozenset({"status", "state", "outcome", "problem", "kind", "remedy", "operation"})
_DEVICES = frozenset({"path", "device"})


def _device(item: Item) -> Any:
    return output.device(item.get("path"), item.get("device_state") or item.get("state"))


def _list(items: list[Item], *names: str) -> list[str]:
    return [" ".join(str(item[name]) for name in names if item.get(name)) for item in items]


VOLUMES = View(
    "volumes",
    ("id", "name", "size", "status", "backend", "hosts"),
    wide=("pool", "type_name", "protocol", "path", "metadata", "created_at"),
    titles={"path": "DEVICE", "type_name": "TYPE"},
    cells={
        "path": _device,
        "snapshots": lambda item: _list(item.get("snapshots", []), "id", "name"),
        "connections": lambda item: _list(item.get("connections", []), "id", "host", "path"),
    },
    firm=_STATES | _DEVICES | {"size"},
    fields=(
        *VolumeRecord.__struct_fields__,
        *("size_bytes", "pool", "hosts", "protocol", "path", "device_state", "changed"),
        *("snapshots", "connections", "sha256"),
    ),
)
TYPES = View(
    "volume types",
    ("name", "extra_specs", "qos_specs", "qos_consumer", "description"),
    wide=("id", "encryption"),
    titles={"qos_consumer": "ENFORCED BY"},
    fields=("changed",),
)
SNAPSHOTS = View(
    "snapshots",
    ("id", "name", "volume", "volume_size", "status", "backend", "created_at"),
    wide=("volume_id", "metadata"),
    titles={"volume_size": "SIZE"},
    firm=_STATES | {"volume_size"},
    fields=(*SnapshotRecord.__struct_fields__, "volume", "volume_size_bytes", "changed"),
)
GROUPS = View(
    "groups",
    ("id", "name", "status", "volumes", "backend"),
    wide=("replication_status", "description", "native", "created_at"),
    firm=_STATES,
    fields=(*GroupRecord.__struct_fields__, "changed"),
)
GROUP_SNAPSHOTS = View(
    "group snapshots",
    ("id", "name", "group", "snapshots", "consistent", "status", "created_at"),
    wide=("group_id", "backend", "description"),
    firm=_STATES,
    fields=(*GroupSnapshotRecord.__struct_fields__, "changed"),
)
CONNECTIONS = View(
    "connections",
    ("id", "volume", "host", "protocol", "attach_mode", "state", "path", "backend"),
    wide=("volume_id", "attached_at"),
    named=("id",),
    titles={"attach_mode": "MODE", "path": "DEVICE"},
    cells={"path": _device},
    firm=_STATES | _DEVICES | {"attach_mode"},
    fields=(
        *ConnectionRecord.__struct_fields__,
        *("volume", "host", "protocol", "state", "path", "file_format", "device_state"),
        *("qos_specs", "changed"),
    ),
)
TREE = View(
    "backends",
    ("tree", "id", "size_bytes", "status", "path", "mounts"),
    wide=("protocol",),
    titles={"tree": "NAME", "size_bytes": "SIZE", "path": "DEVICE", "mounts": "MOUNTED ON"},
    cells={"path": _device},
    firm=_STATES | _DEVICES | {"size_bytes"},
    fields=("name", "kind", "device_state"),
)
OPERATIONS = View(
    "operations",
    ("started_at", "operation", "name", "outcome", "seconds", "user", "error"),
    wide=(
        *("backend", "arguments", "driver_seconds", "host", "pid", "program"),
        *("resource_id", "volume_id", "recovered_by"),
    ),
    named=("id",),
    titles={"driver_seconds": "DRIVER"},
    cells={
        "name": lambda item: item.get("name") or item["resource_id"][:8],
        "seconds": lambda item: f"{item['seconds']:.3f}",
        "driver_seconds": lambda item: f"{item['driver_seconds']:.3f}",
    },
    firm=_STATES | {"operation", "outcome", "seconds"},
    prose="error",
    fields=("id", "ended_at"),
)
ATTACHMENTS = View(
    "attached volumes on this host",
    ("path", "id", "volume_id", "protocol", "multipath_id", "scsi_wwn"),
    named=("path", "id"),
    titles={
        "path": "DEVICE",
        "id": "CONNECTION",
        "volume_id": "VOLUME",
        "multipath_id": "MULTIPATH",
        "scsi_wwn": "WWN",
    },
    cells={"path": _device},
    firm=_DEVICES,
    fields=("file_format", "state", "device", "persistent", "cgroup", "qos_specs", "changed"),
)
LEFTOVERS = View(
    "leftovers on this host",
    ("key", "device", "connection_id", "operation", "users"),
    named=("key",),
    titles={"connection_id": "CONNECTION", "operation": "INTERRUPTED", "users": "USED BY"},
    firm=_DEVICES,
)
BACKENDS = View(
    "backends",
    ("name", "volume_driver", "volumes"),
    titles={"volume_driver": "DRIVER"},
    cells={"volume_driver": lambda item: item.get("volume_driver") or "not configured"},
)
BACKEND = View(
    "backends",
    ("name", "driver_version", "storage_protocol", "pools", "replication", "unsupported",
     "options"),
)  # fmt: skip
REPLICATION = View(
    "backends",
    ("name", "replication_status", "active_backend_id", "frozen", "targets", "changed"),
)
POOLS = View(
    "pools",
    ("backend", "pool", "total_bytes", "free_bytes", "used_percent", "thin", "multiattach"),
    wide=("provisioned_bytes", "volumes", "protocol"),
    named=("pool",),
    titles={
        "total_bytes": "TOTAL",
        "free_bytes": "FREE",
        "used_percent": "USED",
        "provisioned_bytes": "PROVISIONED",
    },
    firm=frozenset({"total_bytes", "free_bytes", "used_percent"}),
    any_field=True,
)
TOP_POOLS = View(
    "pools",
    ("backend", "pool", "total_bytes", "free_bytes", "used_percent", "provisioned_bytes",
     "volumes"),
    titles=POOLS.titles,
    firm=frozenset({"total_bytes", "free_bytes", "used_percent"}),
)  # fmt: skip
TOP_OPERATIONS = View(
    "operations",
    ("operation", "name", "outcome", "seconds", "user", "host", "pid", "program"),
    wide=("backend", "resource_id", "started_at"),
    titles={"seconds": "AGE"},
    cells={
        "name": lambda item: item.get("name") or item["resource_id"][:8],
        "seconds": lambda item: sizes.of_seconds(item["seconds"]),
    },
    firm=_STATES | {"seconds"},
)
ATTENTION = View(
    "problems",
    ("problem", "kind", "name", "backend", "detail"),
    wide=("id", "at"),
    titles={"detail": "DETAILS"},
    firm=_STATES,
    prose="detail",
)
CAPABILITIES = View(
    "capabilities",
    ("operation", "way", "reason"),
    named=("operation",),
    firm=_STATES | {"way"},
    prose="reason",
)
MANAGEABLE = View(
    "manageable volumes or snapshots on the storage",
    ("name", "size", "source_reference", "reason_not_safe", "resource_id"),
    wide=("extra_info",),
    named=("name",),
    titles={
        "name": "REFERENCE",
        "source_reference": "VOLUME",
        "reason_not_safe": "NOT MANAGEABLE",
        "resource_id": "ID",
    },
    cells={
        "source_reference": lambda item: references.text(item["source_reference"]),
    },
    firm=frozenset({"name", "size"}),
    fields=("kind", "reference", "safe_to_manage"),
)
EXTENTS = View(
    "extents",
    ("offset", "length", "kind"),
    named=("offset",),
    firm=frozenset({"offset", "length", "kind"}),
)
CHECKS = View(
    "configured backends",
    ("name", "state", "message"),
    titles={"message": "DETAILS"},
    firm=_STATES,
    prose="message",
    fields=("ok", "protocol", "pools", "missing"),
)
DRIVERS = View(
    "drivers",
    ("name", "product", "supported", "missing"),
    wide=("class_fqn", "version"),
    named=("short_name", "name"),
    titles={"class_fqn": "CLASS", "missing": "MISSING HERE"},
    cells={
        "name": lambda item: item.get("short_name") or item["name"],
        "product": lambda item: family(item),
    },
    fields=("short_name", "vendor"),
)
RECOVERED = View(
    "interrupted operations",
    ("operation", "resource_id", "backend", "outcome", "reason"),
    named=("resource_id",),
    titles={"resource_id": "RESOURCE"},
    firm=_STATES,
    prose="reason",
)
DISCREPANCIES = View(
    "differences between store and storage",
    ("problem", "kind", "resource_id", "backend", "remedy", "outcome", "detail"),
    named=("resource_id", "name"),
    titles={"resource_id": "ID", "detail": "DETAILS"},
    cells={
        "resource_id": lambda item: item["resource_id"] or item["name"],
        "outcome": lambda item: "" if item["outcome"] == "found" else item["outcome"],
        "detail": lambda item: " ".join(
            ": ".join(filter(None, (item["detail"], item["reason"]))).split()
        ),
    },
    firm=_STATES,
    prose="detail",
    fields=("name", "reason"),
)


def family(item: Item) -> str:
    """The vendor and product of a driver."""
    vendor, product = item.get("vendor") or "", item.get("product") or ""
    return product if product.startswith(vendor) else f"{vendor} {product}"
