"""The volume object."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from cinderlib import errors, serialization, validation, value_checks
from cinderlib.locking.process_identity import this_host
from cinderlib.node import links
from cinderlib.objects.arguments import check_resource, refuse_unknown
from cinderlib.objects.backend import Backend
from cinderlib.objects.cinder_fields import VolumeFields
from cinderlib.objects.fields import Check, EditableField, Field
from cinderlib.objects.keywords import (
    ConnectKeywords,
    CopyKeywords,
    CreateSnapshotKeywords,
    VolumeKeywords,
)
from cinderlib.objects.managing import ManagedVolume
from cinderlib.objects.volume_type import VolumeType
from cinderlib.operations import extend, revert
from cinderlib.operations import volumes as operations
from cinderlib.persistence.host_key import host_of
from cinderlib.records import (
    ConnectionRecord,
    SnapshotRecord,
    VolumeRecord,
    new_id,
    replace,
)

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection
    from cinderlib.objects.snapshot import Snapshot

GIB = 1024**3

#: Fields that can be specified for a new volume, and their checks.
_GIVEN: Mapping[str, Check] = {
    "size": validation.check_size,
    "name": validation.check_name,
    "description": validation.check_description,
    "host": validation.check_host,
    "availability_zone": value_checks.check_optional_text,
    "cluster_name": value_checks.check_optional_text,
    "user_id": value_checks.check_optional_text,
    "project_id": value_checks.check_optional_text,
    "bootable": value_checks.check_flag,
    "multiattach": value_checks.check_flag,
    "metadata": validation.check_metadata,
    "admin_metadata": validation.check_metadata,
    "extra_specs": validation.check_specs,
    "qos_specs": validation.check_specs,
}
_KNOWN = {"id", "pool_name", "unique_name", *_GIVEN}
_NAMES = {"display_name": "name", "display_description": "description"}
_TAKEN_OVER = ("description", "availability_zone", "bootable", "multiattach", "metadata")


class Volume(VolumeFields, ManagedVolume):
    """A volume on a backend.

    ``Volume(backend, size=1)`` describes a volume, and :meth:`create` creates it.
    ``Backend.create_volume`` does both.

    :param backend_or_vol: the backend, its name, or a volume on it, whose properties are the
        defaults of the new volume.
    :param pool_name: the pool of the backend; by default its first one.
    :param named: ``size`` in GiB, whole or fractional (rounded up); ``id``, ``name``,
        ``description``, ``host``, ``availability_zone``, ``bootable``, ``multiattach``,
        ``metadata``, ``admin_metadata``, ``extra_specs``, ``qos_specs``, ``user_id``,
        ``project_id``, ``cluster_name``; ``unique_name``, to refuse a name that another volume of
        the backend has.
    :raises InvalidInput: a field is unknown or has an invalid value.
    """

    _kind = VolumeRecord
    _not_found = errors.VolumeNotFound
    _shown = ("name", "size", "status")
    _record: VolumeRecord
    #: The document that it was loaded from, if it is not in a store.
    _loaded: serialization.VolumeDocument | None = None
    _unique_name = False

    size = Field[int]("Size in GiB.")
    name = EditableField[str](
        "Up to 255 characters, not necessarily unique. Can be set and saved.", validation.check_name
    )
    description = EditableField[str](
        "Up to 255 characters. Can be set and saved.", validation.check_description
    )
    status = Field[str](
        "As in Cinder: ``'creating'``, ``'available'``, ``'in-use'``, ``'error'``, ..."
    )
    previous_status = Field[str | None]("Set by drivers or by cinderlib 5; not used here.")
    attach_status = Field[str](
        "``'attached'`` while it is connected to a host, ``'detached'`` otherwise."
    )
    migration_status = Field[str | None]("Set by drivers or by cinderlib 5; not used here.")
    host = Field[str]("Where it is: ``host@backend#pool``.")
    cluster_name = Field[str | None]("Specified at creation, for drivers that use it.")
    availability_zone = EditableField[str | None](
        "For drivers that use it. Can be set and saved.", value_checks.check_optional_text
    )
    user_id = Field[str | None]("Specified at creation, or the controller's.")
    project_id = Field[str | None]("Specified at creation, or the controller's.")
    bootable = EditableField[bool](
        "Stored but not used. Can be set and saved.", value_checks.check_flag
    )
    multiattach = Field[bool]("Whether several hosts can be connected at once.")
    metadata = EditableField[dict[str, str]](
        "Free for your use. Can be changed in place and saved.", validation.check_metadata
    )
    admin_metadata = EditableField[dict[str, str]](
        "For drivers that use it. Can be changed in place and saved.", validation.check_metadata
    )
    glance_metadata = Field[dict[str, str]](
        "Metadata of the image that the volume was created from elsewhere."
    )
    extra_specs = Field[dict[str, str]]("Extra specs, specified at creation.")
    qos_specs = Field[dict[str, str]]("QoS specs, specified at creation.")
    volume_type_id = Field[str | None]("The volume's own ID if it has specs, otherwise ``None``.")
    source_volid = Field[str | None]("ID of the volume that it was cloned from.")
    snapshot_id = Field[str | None]("ID of the snapshot that it was created from.")
    group_id = Field[str | None]("Set by drivers or by cinderlib 5; not used here.")
    encryption_key_id = Field[str | None]("Stored but not used.")
    replication_status = Field[str | None]("Replication status, as the driver reports it.")
    replication_extended_status = Field[str | None](
        "Details of the replication status, as the driver reports them."
    )
    replication_driver_data = Field[str | None]("The driver's own data about replication.")
    provider_id = Field[str | None]("ID on the array, if the driver reports one.")
    provider_location = Field[str | None](
        "The driver's own data; for many drivers the location of the export."
    )
    provider_geometry = Field[str | None](
        "The driver's own data; for some drivers the block sizes of the device."
    )
    shared_targets = Field[bool]("Whether the array exports several volumes through one target.")
    managed_from = Field[dict[str, Any] | None](
        "The driver's reference by which an existing volume was managed."
    )
    launched_at = Field[datetime.datetime | None]("When the storage had created it.")

    def __init__(
        self,
        backend_or_vol: Backend | Volume | str,
        pool_name: str | None = None,
        **named: Unpack[VolumeKeywords],
    ) -> None:
        fields: dict[str, Any] = {_NAMES.get(name, name): value for name, value in named.items()}
        source = backend_or_vol if isinstance(backend_or_vol, Volume) else None
        backend = self._backend_of(backend_or_vol)
        controller = backend.controller
        if not fields.keys() <= _KNOWN:
            refuse_unknown("A volume", fields, ["id", "pool_name", "unique_name", *_GIVEN])
        given = {
            name: _GIVEN[name](value, name) for name, value in fields.items() if name in _GIVEN
        }
        value_checks.check_optional_text(pool_name, "pool_name")
        if "size" not in given and source is None:
            raise errors.InvalidInput("A volume needs a size in GiB")
        if pool_name is not None and "host" in given:
            raise errors.InvalidInput("Specify either pool_name or host for a volume, not both")
        if given.get("multiattach"):
            backend._refuse_without_multiattach(
                pool_name or given.get("host", "").partition("#")[2]
            )
        inherited = _inherited(source) if source is not None else {}
        id = fields.get("id")
        id = (
            new_id()
            if id is None
            else validation.check_id(id, "volume", non_uuid_ids=controller.non_uuid_ids)
        )
        where = (
            {"host": backend._place(pool_name, given.get("host"))}
            if (pool_name is not None or "host" in given or source is None)
            else {}
        )
        values: dict[str, Any] = {
            "user_id": controller.user_id,
            "project_id": controller.project_id,
            **inherited,
            **given,
            **where,
        }
        if values.get("extra_specs") or values.get("qos_specs"):
            values["volume_type_id"] = id
        self._init(controller, VolumeRecord(id=id, backend=backend.id, **values))
        self._unique_name = value_checks.check_flag(fields.get("unique_name", False), "unique_name")
        self._requested: Mapping[str, Any] = given | (where if pool_name is not None else {})

    @classmethod
    def _backend_of(cls, backend_or_vol: Backend | Volume | str) -> Backend:
        if isinstance(backend_or_vol, str):
            return cls._class_controller().loaded(backend_or_vol)
        if isinstance(backend_or_vol, Volume):
            return backend_or_vol._controller.loaded(backend_or_vol._record.backend)
        if not isinstance(backend_or_vol, Backend):
            raise errors.InvalidInput(
                "A volume needs a backend, the name of a backend or a volume on it, not a"
                f" {type(backend_or_vol).__name__}"
            )
        return backend_or_vol

    # --- queries -------------------------------------------------------------------------------

    @classmethod
    def get_by_id(cls, volume_id: str) -> Volume:
        """The volume with this ID.

        :raises VolumeNotFound: no volume has that ID.
        """
        return cls._class_controller().volume(volume_id)

    @classmethod
    def get_by_name(cls, volume_name: str) -> list[Volume]:
        """The volumes with exactly this name, on all backends, in the order of creation."""
        return list(cls._class_controller().volumes(name=volume_name))

    @property
    def name_in_storage(self) -> str:
        """The name of the volume on the array."""
        return self._controller.name_in_storage(self._record)

    @property
    def volume_type(self) -> VolumeType | None:
        """Its extra specs and QoS specs in the form of Cinder's volume type, if it has any."""
        return VolumeType.of(self._record)

    @property
    def snapshots(self) -> list[Snapshot]:
        """Its snapshots, as the store has them now, in the order of creation."""
        found: Iterable[SnapshotRecord] | None = None
        if self._loaded is not None:
            found = self._loaded.snapshots
        if found is None:
            found = self._controller.store.iterate(SnapshotRecord, {"volume_id": self.id})
        return [self._controller.wrap(record) for record in found]

    @property
    def connections(self) -> list[Connection]:
        """Its connections, as the store has them now, in the order of creation."""
        found: Iterable[ConnectionRecord] | None = None
        if self._loaded is not None:
            found = self._loaded.connections
        if found is None:
            found = self._controller.store.iterate(ConnectionRecord, {"volume_id": self.id})
        connections = [self._controller.wrap(record) for record in found]
        backend = self._controller.backends.get(self._record.backend)
        if len(connections) > 1 and backend is not None and backend.live_migration:
            together = frozenset(each.id for each in connections)
            for each in connections if not self.multiattach else ():
                each._read_with = together
        return connections

    def _connections_here(self) -> list[Connection]:
        """Its connections with this host as ``attached_host``; others can be many."""
        if self._loaded is not None and self._loaded.connections is not None:
            return [each for each in self.connections if each.attached_host == this_host()]
        here = {"volume_id": self.id, "attached_host": this_host()}
        found = self._controller.store.iterate(ConnectionRecord, here)
        return [self._controller.wrap(record) for record in found]

    @property
    def local_attach(self) -> Connection | None:
        """The connection through which any process attached it to this host."""
        return next((each for each in self._connections_here() if each.attached), None)

    # --- create, change, delete ----------------------------------------------------------------

    def create(self) -> None:
        """Create it on the storage.

        A repeated call, or a call for an existing ID with the same properties, uses the existing
        volume.

        :raises AlreadyExists: another volume has the ID, or the name with ``unique_name``.
        :raises DriverError: the storage failed. The volume stays in the store with status
            ``'error'``; delete it or repeat the call.
        """
        with self._named():
            record, self.changed = operations.create(
                self._controller.journal,
                self._record,
                getattr(self, "_requested", {}),
                unique_name=self._unique_name,
            )
            self._adopt(record)

    def delete(self, *, snapshots: bool = False) -> None:
        """Delete it. A volume that does not exist any more is not an error.

        :param snapshots: delete its snapshots first, the newest one first. If one cannot be
            deleted, the volume and the older ones stay.
        :raises InvalidVolume: it has connections, or snapshots and ``snapshots`` is not set.
            Nothing changed.
        """
        with_snapshots = value_checks.check_flag(snapshots, "snapshots")
        with self._named():
            if with_snapshots:
                operations.refuse_connected(self._controller.store, self.id)
                for snapshot in reversed(self.snapshots):
                    snapshot.delete()
            self.changed = operations.delete(self._controller.journal, self.id)
        self._removed(status="deleted")

    def rename(self, name: str) -> None:
        """Change its name to one that no other volume of the backend has.

        :raises AlreadyExists: another volume of the backend has the name. Nothing changed.
        """
        wanted = validation.check_name(name)
        with self._named():
            record, self.changed = operations.rename(self._controller.journal, self.id, wanted)
            self._adopt(record)

    def extend(self, size: float) -> int:
        """Extend the volume, and its device if it is attached to this host.

        :param size: the new size in GiB, whole or fractional (rounded up).
        :returns: the new size in bytes; the size of the device if it is attached here.
        :raises InvalidInput: it is already larger.
        """
        wanted = validation.check_size(size)
        with self._named():
            record, self.changed, seen = extend.extend(self._controller.journal, self.id, wanted)
            self._adopt(record)
            return record.size * GIB if seen is None else seen

    def clone(self, **fields: Unpack[CopyKeywords]) -> Volume:
        """Create another volume with the same data on the same backend.

        :param fields: of the new volume, as for :class:`Volume`; ``size`` may be larger.
        :returns: the new volume.
        """
        return self._derived("source_volid", self.id, fields)

    def _derived(self, origin: str, origin_id: str, fields: CopyKeywords) -> Volume:
        new = self._controller.Volume(self, **fields)
        new._record = replace(new._record, **{origin: origin_id})
        new._requested = {**new._requested, origin: origin_id}
        new.create()
        return new

    def create_snapshot(
        self, name: str = "", description: str = "", **fields: Unpack[CreateSnapshotKeywords]
    ) -> Snapshot:
        """Take a snapshot; the volume can be attached.

        :param fields: ``id``, ``metadata``.
        """
        snapshot = self._controller.Snapshot(self, name=name, description=description, **fields)
        snapshot.create()
        return snapshot

    def revert_blockers(self, snapshot: Snapshot) -> list[Snapshot]:
        """The newer snapshots of the volume that must be deleted before it can be reverted.

        :returns: snapshots, the oldest first; none if the driver keeps newer snapshots.
        :raises SnapshotNotFound: the snapshot is not one of this volume.
        """
        chosen = check_resource(snapshot, self._controller.Snapshot, "snapshot")
        blockers = revert.blockers(self._controller.journal, self.id, chosen.id)
        return [self._controller.wrap(record) for record in blockers]

    def revert_to_snapshot(self, snapshot: Snapshot) -> None:
        """Restore the data of the volume from a snapshot of the volume.

        :raises InvalidVolume: it is connected, was extended since, or has newer snapshots, which
            many drivers would delete; nothing changed.
        :raises Unsupported: the driver has no such operation; nothing changed.
        """
        chosen = check_resource(snapshot, self._controller.Snapshot, "snapshot")
        with self._named():
            self._adopt(revert.revert(self._controller.journal, self.id, chosen.id))
            self.changed = True

    # --- connections ---------------------------------------------------------------------------

    def connect(
        self,
        connector_dict: Mapping[str, Any],
        *,
        migrating: bool = False,
        **fields: Unpack[ConnectKeywords],
    ) -> Connection:
        """Export and map it for a host.

        :param connector_dict: the result of ``get_connector_properties`` on that host.
        :param migrating: for a live migration to this host: the volume may be connected to the
            other host as well until that is disconnected, although it is not multiattach. Not
            needed if both connections have the same ``instance_uuid``.
        :param fields: ``attached_host``, ``attach_mode`` (``'rw'`` or ``'ro'``), ``mountpoint``,
            ``instance_uuid``, ``device_scan_attempts``, ``use_multipath``, ``id``.
        :returns: the connection; the existing one if the host is already connected.
        :raises InvalidVolume: it is connected to another host and neither multiattach nor
            migrating.
        :raises InvalidConnector: the connector lacks a property that the driver needs.
        """
        migrating = value_checks.check_flag(migrating, "migrating")
        return self._connect(connector_dict, fields, to_attach=False, migrating=migrating)

    def _connect(
        self,
        connector: Mapping[str, Any],
        fields: ConnectKeywords,
        *,
        to_attach: bool,
        migrating: bool,
    ) -> Connection:
        connection = self._controller.Connection(
            self._controller.loaded(self._record.backend),
            volume=self,
            connector=connector,
            **fields,
        )
        with self._named():
            self._adopt(connection._connect(to_attach=to_attach, migrating=migrating))
        self.changed = connection.changed
        return connection

    def disconnect(self, connection: Connection, force: bool = False) -> None:
        """Unmap it from the connection's host. The last disconnect also removes the export."""
        chosen = check_resource(connection, self._controller.Connection, "connection")
        self._disconnect(chosen, value_checks.check_flag(force, "force"))

    def _disconnect(self, connection: Connection, force: bool, *, detached: bool = False) -> None:
        volume = connection._disconnect(force, detached=detached)
        if volume is None or volume.id != self.id:
            self.refresh()
        else:
            self._adopt(volume)
        self.changed = connection.changed

    def attach(self, *, migrating: bool = False, link: str | None = None) -> Connection:
        """Connect it to this host and attach it.

        :param migrating: as for :meth:`connect`.
        :param link: the path of a symbolic link to the device, the same on each host and after each
            boot. It is created or changed, also if the volume is attached already. The detach
            removes it.
        :returns: the connection, whose ``path`` is the device.
        :raises NodeError: this host could not attach it; it was disconnected again.
        """
        controller = self._controller
        migrating = value_checks.check_flag(migrating, "migrating")
        link = None if link is None else links.check(link)
        with self._named(), controller.journal.whole_call():
            connector = controller.local_connector(controller.loaded(self._record.backend))
            here: ConnectKeywords = {"attached_host": this_host()}
            connection = self._connect(connector, here, to_attach=True, migrating=migrating)
            connected_here = connection.changed
            try:
                connection.attach(link=link)
            except BaseException as exc:
                if connected_here:
                    self._undo_connect(connection, exc)
                raise
        self.changed = connection.changed
        return connection

    def _undo_connect(self, connection: Connection, cause: BaseException) -> None:
        try:
            self.disconnect(connection)
        except errors.CinderlibError as exc:
            cause.add_note(f"Disconnecting it again also failed: {exc}")

    def detach(self, force: bool = False, ignore_errors: bool = False) -> None:
        """Remove its device from this host and disconnect it from this host.

        A volume that is not connected to this host does not change.

        :param force: continue with the next step if a step fails, and raise the error at the end.
        :param ignore_errors: with ``force``, do not raise errors.
        :raises NotLocal: it is connected only to other hosts.
        """
        force = value_checks.check_flag(force, "force")
        ignore_errors = value_checks.check_flag(ignore_errors, "ignore_errors")
        connection = self._here()
        if connection is None:
            self._refuse_elsewhere()
            self.changed = False
            return
        failed: errors.CinderlibError | None = None
        journal = self._controller.journal
        with self._named(), journal.whole_call():
            try:
                connection._detach(force, ignore_errors, to_disconnect=True)
            except errors.NodeError as exc:
                if not force:
                    raise
                failed = exc
            self._disconnect(connection, force, detached=failed is None)
            if failed is not None and not ignore_errors:
                raise failed

    def _here(self) -> Connection | None:
        """The connection of :attr:`local_attach`, or another connection of this host whose device
        was removed or never attached."""
        found = self._connections_here()
        return next((each for each in found if each.attached), found[0] if found else None)

    def _refuse_elsewhere(self) -> None:
        others = self.connections
        if others:
            hosts = ", ".join(sorted({host_of(each._record) for each in others}))
            raise errors.NotLocal(
                f"Volume {self.id} is not attached to this host; it is connected to {hosts}",
                resource=self,
            )

    @contextlib.contextmanager
    def attached(self) -> Iterator[Connection]:
        """``with vol.attached() as attach:`` attaches it, and detaches it at the end."""
        connection = self.attach()
        try:
            yield connection
        finally:
            self.detach()

    def cleanup(self) -> None:
        """Detach and disconnect it from this host, if necessary; other hosts are not affected."""
        while self._here() is not None:
            self.detach()

    def _document(self, *, related: bool) -> serialization.VolumeDocument:
        record = cast(VolumeRecord, self._pending())
        return serialization.volume_document(
            record,
            snapshots=[s._record for s in self.snapshots] if related else None,
            connections=[c._record for c in self.connections] if related else None,
            options=self._controller.document_options(record.backend),
        )


def _inherited(source: Volume) -> dict[str, Any]:
    record = source._record
    inherited = {name: getattr(record, name) for name in _TAKEN_OVER}
    return inherited | {
        "size": record.size,
        "name": record.name,
        "host": record.host,
        "user_id": record.user_id,
        "project_id": record.project_id,
        "extra_specs": record.extra_specs,
        "qos_specs": record.qos_specs,
    }
