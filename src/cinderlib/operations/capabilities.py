"""What a backend can do: known before a call, so that an impossible one changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.operations.replication import FAILOVER


@dataclasses.dataclass(frozen=True, slots=True)
class Capability:
    """Whether a backend can do one operation, and how.

    :ivar operation: ``'volume.clone'``, ``'snapshot.manage'``, ...
    :ivar way: ``'native'`` (the driver does it), ``'generic'`` (cinderlib does it with other
        methods of the driver) or ``'none'``.
    :ivar reason: why the driver does not do it; empty for ``'native'``.
    """

    operation: str
    way: str
    reason: str = ""

    @property
    def is_possible(self) -> bool:
        """Whether the backend can do it in any way."""
        return self.way != "none"


@dataclasses.dataclass(frozen=True, slots=True)
class _Operation:
    """
    :ivar task: for messages, after "cannot".
    :ivar methods: the driver's methods for the native way, beyond those that all drivers have.
    :ivar generic: the generic way, as a clause; empty if there is none.
    :ivar generic_methods: the driver's methods for the generic way.
    :ivar requires: an operation that the generic way consists of.
    """

    task: str
    methods: tuple[str, ...] = ()
    generic: str = ""
    generic_methods: tuple[str, ...] = ()
    requires: str = ""


#: The failover of a backend to another storage system with replicas of the volumes.
#: The replication of groups to another storage system, and their failover.
REPLICATE = "group.replicate"
#: New volumes that hosts encrypt.
ENCRYPT = "volume.encrypt"
#: Protocols of which hosts have no block device, as drivers report them, in small letters.
_WITHOUT_DEVICE = frozenset(
    {"cifs", "file", "nfs", "quobyte", "smbfs", "vmdk", "vstorageobject", "vzstorage"}
)
_GROUP_METHODS = ("create_group", "update_group", "delete_group")
_NO_CHANGE = "removing the record needs no change on the storage"
_ALL_CHANGED = "all data is reported as changed"
_OPERATIONS: Mapping[str, _Operation] = {
    "volume.create": _Operation("create volumes"),
    ENCRYPT: _Operation(
        "create encrypted volumes",
        generic="hosts encrypt the data with LUKS",
        requires="volume.connect",
    ),
    "volume.create_from_snapshot": _Operation(
        "create volumes from snapshots", ("create_volume_from_snapshot",)
    ),
    "volume.clone": _Operation("clone volumes", ("create_cloned_volume",)),
    "volume.delete": _Operation("delete volumes"),
    "volume.extend": _Operation("extend volumes", ("extend_volume",)),
    "volume.extend_connected": _Operation("extend connected volumes", ("extend_volume",)),
    "volume.revert": _Operation("revert volumes to snapshots", ("revert_to_snapshot",)),
    "volume.revert_by_copy": _Operation(
        "revert volumes by a copy",
        generic="the data of the snapshot is copied through attachments of a host",
        generic_methods=("create_snapshot", "delete_snapshot"),
        requires="snapshot.attach",
    ),
    "volume.migrate": _Operation(
        "migrate volumes",
        ("migrate_volume",),
        "the data is copied to a new volume through attachments of a host, on the same array only"
        " with tested drivers",
    ),
    "volume.retype": _Operation(
        "retype volumes",
        ("retype",),
        "the data is copied to a new volume with the other specs, if the caller accepts that; on"
        " the same array only with tested drivers",
    ),
    "volume.connect": _Operation("map volumes to hosts"),
    "volume.multiattach": _Operation("map a volume to several hosts"),
    "volume.list_manageable": _Operation(
        "list the volumes on its storage", ("get_manageable_volumes",)
    ),
    "volume.manage": _Operation(
        "manage existing volumes", ("manage_existing", "manage_existing_get_size")
    ),
    "volume.unmanage": _Operation("stop managing volumes", ("unmanage",), _NO_CHANGE),
    "volume.extents": _Operation("list the extents of volumes", ("extents",), _ALL_CHANGED),
    "group.create": _Operation(
        "group volumes",
        _GROUP_METHODS,
        "only the store knows the groups",
    ),
    "group.create_from_snapshot": _Operation(
        "create groups from group snapshots",
        (*_GROUP_METHODS, "create_group_from_src"),
        "each volume is created from its snapshot",
        ("create_volume_from_snapshot",),
    ),
    "group.clone": _Operation(
        "clone groups",
        (*_GROUP_METHODS, "create_group_from_src"),
        "the volumes are cloned in sequence, if the caller accepts that",
        ("create_cloned_volume",),
    ),
    REPLICATE: _Operation(
        "replicate groups",
        (*_GROUP_METHODS, "enable_replication", "disable_replication", "failover_replication"),
    ),
    "group_snapshot.create": _Operation(
        "take snapshots of groups",
        (*_GROUP_METHODS, "create_group_snapshot", "delete_group_snapshot"),
        "the snapshots are taken in sequence, if the caller accepts that",
        ("create_snapshot", "delete_snapshot"),
    ),
    "snapshot.create": _Operation("create snapshots", ("create_snapshot",)),
    "snapshot.delete": _Operation("delete snapshots", ("delete_snapshot",)),
    "snapshot.extents": _Operation("list the extents of snapshots", ("extents",), _ALL_CHANGED),
    "snapshot.attach": _Operation(
        "attach snapshots",
        ("initialize_connection_snapshot", "terminate_connection_snapshot"),
        "a temporary volume from the snapshot is attached",
        ("create_volume_from_snapshot",),
    ),
    "snapshot.list_manageable": _Operation(
        "list the snapshots on its storage", ("get_manageable_snapshots",)
    ),
    "snapshot.manage": _Operation(
        "manage existing snapshots",
        ("manage_existing_snapshot", "manage_existing_snapshot_get_size"),
    ),
    "snapshot.unmanage": _Operation("stop managing snapshots", ("unmanage_snapshot",), _NO_CHANGE),
    FAILOVER: _Operation("fail over", ("failover_host",)),
}


def of(info: DriverInfo, stats: Mapping[str, Any]) -> dict[str, Capability]:
    """All operations of a backend.

    :param stats: as the driver reported them last; they can differ between its pools, and an
        operation is possible if it is in one of them.
    """
    found = {operation: _static(info.lacks, operation) for operation in _OPERATIONS}
    found |= {each: of_replication(info, each) for each in (FAILOVER, REPLICATE)}
    for operation, reason in _reported(stats):
        if found[operation].is_possible:
            found[operation] = Capability(operation, "none", reason)
    return found


def of_replication(info: DriverInfo, operation: str) -> Capability:
    """Whether a backend can fail over, or replicate groups: it also needs a replication device."""
    found = _static(info.lacks, operation)
    if found.is_possible and not info.replication_targets:
        return Capability(operation, "none", "its configuration has no replication_device")
    return found


def ways(lacks: Mapping[str, str] | None) -> dict[str, str]:
    """The way of each operation of a driver, as far as its class determines it.

    :param lacks: as in :class:`DriverInfo`; ``None`` if the class is not known.
    """
    return {} if lacks is None else {name: _static(lacks, name).way for name in _OPERATIONS}


def _reported(stats: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The operations that are not possible in any pool, and why."""
    pools = [{**stats, **pool} for pool in stats["pools"]]
    protocols = [str(each) for pool in pools for each in _protocols(pool)]
    if protocols and all(each.lower() in _WITHOUT_DEVICE for each in protocols):
        yield ENCRYPT, f"over {protocols[0]}, hosts have no block device to encrypt"
    if not any(pool.get("multiattach") for pool in pools):
        yield "volume.multiattach", "no pool reports multiattach"
    if all(pool.get("online_extend_support") is False for pool in pools):
        yield "volume.extend_connected", "all pools report online_extend_support=False"


def _protocols(pool: Mapping[str, Any]) -> Sequence[Any]:
    found = pool.get("storage_protocol") or ()
    return [found] if isinstance(found, str) else found if isinstance(found, list) else ()


def _static(lacks: Mapping[str, str], operation: str) -> Capability:
    known = _OPERATIONS[operation]
    reasons = [lacks[method] for method in known.methods if method in lacks]
    if not reasons and not known.requires:
        return Capability(operation, "native")
    missing = [lacks[method] for method in known.generic_methods if method in lacks]
    if known.requires and not (required := _static(lacks, known.requires)).is_possible:
        missing.append(required.reason)
    if known.generic and not missing:
        return Capability(operation, "generic", "; ".join([*reasons[:1], known.generic]))
    return Capability(operation, "none", [*reasons, *missing][0])


def is_native(driver: Driver, operation: str) -> bool:
    """Whether the driver does an operation itself."""
    return _static(driver.info.lacks, operation).way == "native"


def reason(driver: Driver, operation: str) -> str:
    """Why the driver does not do an operation itself; empty if it does."""
    return _static(driver.info.lacks, operation).reason


def implements(driver: Driver, method: str) -> bool:
    """Whether the driver has its own version of an optional method of Cinder's interface."""
    return method not in driver.info.lacks


def require(
    driver: Driver, operation: str, backend: str, id: str | None = None, *, instead: str = ""
) -> None:
    """Refuse an operation that the backend cannot do, before any change.

    :param id: the ID of the volume or snapshot of the operation, if there is one.
    :param instead: what the caller can do instead, for a note.
    :raises Unsupported: it cannot.
    """
    found = _static(driver.info.lacks, operation)
    if not found.is_possible:
        raise _refusal(found, backend, id, instead)


def require_group_replication(driver: Driver, backend: str, id: str) -> None:
    """Refuse the replication of a group on a backend that has none.

    :raises Unsupported: it has none.
    """
    found = of_replication(driver.info, REPLICATE)
    if not found.is_possible:
        raise _refusal(found, backend, id)


def require_encryption(driver: Driver, backend: str, id: str) -> None:
    """Refuse a new encrypted volume that hosts could not open.

    :raises Unsupported: the protocol of the backend has no block device.
    """
    for operation, reason in _reported(driver.stats()):
        if operation == ENCRYPT:
            raise _refusal(Capability(ENCRYPT, "none", reason), backend, id)


def _refusal(
    found: Capability, backend: str, id: str | None, instead: str = ""
) -> errors.Unsupported:
    error = errors.Unsupported(
        f"Backend {backend!r} cannot {_OPERATIONS[found.operation].task}: {found.reason}."
        " No change was made",
        resource=id or backend,
    )
    if instead:
        error.add_note(instead)
    return error
