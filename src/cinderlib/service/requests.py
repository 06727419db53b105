"""The bodies of requests. Sizes are GiB, and fields have the same meaning as in the API."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Body(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base of the bodies: a field that is not known is an error, and names it."""

    def given(self, *without: str) -> dict[str, Any]:
        """The fields that the client sent, by name.

        :param without: fields to leave out.
        """
        return {
            name: value
            for name in self.__struct_fields__
            if name not in without and (value := getattr(self, name)) is not msgspec.UNSET
        }


class NewVolume(Body):
    """The fields that any new record of a volume can have."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    pool_name: str | msgspec.UnsetType = msgspec.UNSET
    host: str | msgspec.UnsetType = msgspec.UNSET
    cluster_name: str | msgspec.UnsetType | None = msgspec.UNSET
    availability_zone: str | msgspec.UnsetType | None = msgspec.UNSET
    user_id: str | msgspec.UnsetType | None = msgspec.UNSET
    project_id: str | msgspec.UnsetType | None = msgspec.UNSET
    bootable: bool | msgspec.UnsetType = msgspec.UNSET
    multiattach: bool | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    admin_metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    extra_specs: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    qos_specs: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    encryption: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    type: str | msgspec.UnsetType = msgspec.UNSET


class CreateVolume(NewVolume):
    """A new volume, or a copy: with ``source_volid`` of a volume, with ``snapshot_id`` of a
    snapshot. A request has exactly one of these two, ``backend``, and ``backends``: names to choose
    from; an empty list means all."""

    backends: list[str] | msgspec.UnsetType = msgspec.UNSET
    backend: str | msgspec.UnsetType = msgspec.UNSET
    source_volid: str | msgspec.UnsetType = msgspec.UNSET
    snapshot_id: str | msgspec.UnsetType = msgspec.UNSET
    size: float | msgspec.UnsetType = msgspec.UNSET
    size_bytes: int | msgspec.UnsetType = msgspec.UNSET
    unique_name: bool | msgspec.UnsetType = msgspec.UNSET


class CreateType(Body):
    """A new volume type. QoS specs can have a ``consumer``: ``front-end``, ``back-end`` or
    ``both``. With ``encryption``, hosts encrypt its volumes."""

    name: str
    description: str = ""
    extra_specs: dict[str, str] = {}
    qos_specs: dict[str, str] = {}
    encryption: dict[str, str] = {}


class ChangeType(Body):
    """Changes of a volume type: values of specs, and ``null`` for those to remove."""

    description: str | None = None
    extra_specs: dict[str, str | None] = {}
    qos_specs: dict[str, str | None] = {}


class ManageVolume(NewVolume, kw_only=True):
    """An existing volume: the driver's reference, and the fields of the new record."""

    reference: dict[str, Any]


class ManageSnapshot(Body):
    """An existing snapshot: the driver's reference, and the fields of the new record."""

    reference: dict[str, Any]
    id: str | msgspec.UnsetType = msgspec.UNSET
    name: str = ""
    description: str = ""
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class ChangeVolume(Body):
    """Fields of a volume to write; the others stay. ``metadata`` and ``admin_metadata`` replace all
    keys, ``metadata_changes`` and ``admin_metadata_changes`` only those that they have, and remove
    those with ``null``."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    unique_name: bool | msgspec.UnsetType = msgspec.UNSET
    metadata_changes: dict[str, str | None] | msgspec.UnsetType = msgspec.UNSET
    admin_metadata_changes: dict[str, str | None] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    availability_zone: str | msgspec.UnsetType | None = msgspec.UNSET
    bootable: bool | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    admin_metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class ExtendVolume(Body):
    """The new size of a volume, in GiB or in bytes."""

    size: float | msgspec.UnsetType = msgspec.UNSET
    size_bytes: int | msgspec.UnsetType = msgspec.UNSET


class RetypeVolume(Body):
    """The new specs of a volume: those of a type, or own ones; and whether the host of the service
    copies its data if the driver cannot change them, optionally to another backend and pool."""

    type: str | None = None
    extra_specs: dict[str, str] | None = None
    qos_specs: dict[str, str] | None = None
    migrate: bool = False
    backend: str | None = None
    pool: str | None = None


class RevertVolume(Body):
    """The snapshot whose data a volume gets back, and whether the host of the service copies it."""

    snapshot_id: str
    by_copy: bool = False


class MigrateVolume(Body):
    """Where a volume is moved to: a backend and, optionally, a pool; and whether the host of the
    service copies the data even if the driver can move it."""

    backend: str
    pool: str | None = None
    by_copy: bool = False


class StartMigration(Body):
    """Where the copy of a volume is created: a backend and, optionally, a pool."""

    backend: str
    pool: str | None = None


class BeginApply(Body):
    """A stream that a client will write through a connection with this ID: the content after it,
    the content that it begins with, and the size of the exported volume in bytes."""

    connection_id: str
    point: str
    size: int
    since: str | None = None


class FinishApply(Body):
    """The end of a stream, or of reading through a connection."""

    connection_id: str
    written: bool = True


class ConnectSnapshot(Body):
    """The host to map a snapshot for, read-only: its connector properties, or the name it
    registered under."""

    connector: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    node: str | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET
    attached_host: str | msgspec.UnsetType | None = msgspec.UNSET
    mountpoint: str | msgspec.UnsetType | None = msgspec.UNSET
    instance_uuid: str | msgspec.UnsetType | None = msgspec.UNSET
    use_multipath: bool | msgspec.UnsetType = msgspec.UNSET
    device_scan_attempts: int | msgspec.UnsetType = msgspec.UNSET


class ConnectVolume(ConnectSnapshot):
    """The host to map a volume for: its connector properties, or the name it registered under."""

    migrating: bool = False
    decrypt: bool = True
    attach_mode: Literal["rw", "ro"] | msgspec.UnsetType = msgspec.UNSET


class AttachSnapshot(Body):
    """The path of a link to the device, in the service's folder for links; and the folder of a
    control group to which the limits of the volume apply."""

    link: str | msgspec.UnsetType = msgspec.UNSET
    cgroup: str | msgspec.UnsetType = msgspec.UNSET


class AttachVolume(Body):
    """Whether a volume may stay connected to another host, for a live migration to this one;
    whether it is attached again after each boot, or read-only; whether the host decrypts it if it
    is encrypted; the path of a link to the device, in the service's folder for links; the folder of
    a control group to which the limits of the volume apply; and the ID of the connection."""

    migrating: bool = False
    decrypt: bool = True
    persist: bool = False
    read_only: bool = False
    link: str | msgspec.UnsetType = msgspec.UNSET
    cgroup: str | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET


class Force(Body):
    """Whether to continue although unwritten data can be lost, or a step fails."""

    force: bool = False
    ignore_errors: bool = False


class CreateSnapshot(Body):
    """A snapshot of a volume."""

    volume_id: str
    id: str | msgspec.UnsetType = msgspec.UNSET
    name: str = ""
    unique_name: bool = False
    description: str = ""
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class ChangeSnapshot(Body):
    """Fields of a snapshot to write; the others stay. ``metadata`` replaces all keys,
    ``metadata_changes`` only those that it has, and removes those with ``null``."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    metadata_changes: dict[str, str | None] | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    metadata: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class CreateGroup(Body):
    """A group of volumes of a backend, or a copy: with ``group_snapshot_id`` of a group snapshot,
    with ``source_group_id`` of a group. A request has exactly one of these two and ``backend``. If
    the driver cannot clone the volumes of a group at the same moment, ``one_after_another`` allows
    clones of different moments. A new group can have specs that the driver sees; a copy has the
    specs of the source."""

    name: str
    backend: str | msgspec.UnsetType = msgspec.UNSET
    group_snapshot_id: str | msgspec.UnsetType = msgspec.UNSET
    source_group_id: str | msgspec.UnsetType = msgspec.UNSET
    volume_ids: list[str] = []
    description: str = ""
    id: str | msgspec.UnsetType = msgspec.UNSET
    group_specs: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    one_after_another: bool = False


class ChangeGroup(Body):
    """The IDs of volumes to add to a group, or of volumes to remove from it."""

    add: list[str] = []
    remove: list[str] = []


class CreateGroupSnapshot(Body):
    """Snapshots of all volumes of a group, and whether they may be of different moments if the
    driver cannot take them at the same moment."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    name: str = ""
    description: str = ""
    one_after_another: bool = False


class ReportDevice(Body):
    """The device that a host attached a connection as; ``None`` once it is detached."""

    device: dict[str, Any] | None


class RegisterNode(Body):
    """The connector properties of a node."""

    connector: dict[str, Any]


class Reconcile(Body):
    """What to do about the differences between store and storage."""

    repair: bool = False
    remove: list[str] = []


class FailOver(Body):
    """The ``backend_id`` of a replication device to use, or ``default`` for the backend's own
    storage; by default, the driver chooses a device."""

    to: str | None = None


class FailOverGroup(Body):
    """The ``backend_id`` of a replication device that a group uses, or ``default`` for the
    backend's own storage; by default the only device. With ``allow_attached``, also if volumes are
    attached."""

    to: str | None = None
    allow_attached: bool = False


class Nothing(Body):
    """A request without arguments."""
