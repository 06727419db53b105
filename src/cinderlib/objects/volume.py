"""The volume object."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from cinderlib import errors, operations, serialization, validation, value_checks
from cinderlib.objects import new_volume
from cinderlib.objects.attachable_volume import AttachableVolume
from cinderlib.objects.backend import Backend
from cinderlib.objects.cinder_fields import VolumeFields
from cinderlib.objects.fields import EditableField, Field
from cinderlib.objects.keywords import CopyKeywords, CreateSnapshotKeywords, VolumeKeywords
from cinderlib.objects.managing import ManagedVolume
from cinderlib.objects.retyping import RetypedVolume
from cinderlib.objects.reverting import RevertedVolume
from cinderlib.objects.streaming import StreamedVolume
from cinderlib.objects.volume_type import VolumeType
from cinderlib.records import AppliedStream, SnapshotRecord, TypeSpecs, VolumeRecord, replace

if TYPE_CHECKING:
    from cinderlib.objects.snapshot import Snapshot

GIB = 1024**3


class Volume(
    VolumeFields,
    ManagedVolume,
    RetypedVolume,
    RevertedVolume,
    AttachableVolume,
    StreamedVolume,
):
    """A volume on a backend.

    ``Volume(backend, size=1)`` describes a volume, and :meth:`create` creates it.
    ``Backend.create_volume`` does both.

    :param backend_or_vol: the backend, its name, or a volume on it, whose properties are the
        defaults of the new volume.
    :param pool_name: the pool of the backend; by default its first one.
    :param named: ``size`` in GiB, whole or fractional (rounded up); ``id``, ``name``,
        ``description``, ``host``, ``availability_zone``, ``bootable``, ``multiattach``,
        ``metadata``, ``admin_metadata``, ``extra_specs``, ``qos_specs``, ``encryption``, or instead
        of these three ``type``, the name of a volume type; ``user_id``, ``project_id``,
        ``cluster_name``; ``unique_name``, to refuse a name that another volume of the backend has.
    :raises InvalidInput: a field is unknown or has an invalid value.
    """

    _kind = VolumeRecord
    _not_found = errors.VolumeNotFound
    _shown = ("name", "size", "status")
    _record: VolumeRecord
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
    migration_status = Field[str | None](
        "``'migrating'`` during a migration, ``'target:ID'`` for the copy of volume ``ID``"
        " meanwhile, ``'error'`` if the driver failed to migrate it."
    )
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
    extra_specs = Field[dict[str, str]](
        "Its extra specs: specified at creation, or copied from its type."
    )
    qos_specs = Field[dict[str, str]]("Its QoS specs: specified at creation, or those of the type.")
    encryption = Field[dict[str, str]](
        "How hosts encrypt its data: ``provider``, ``control_location``, ``cipher``, ``key_size``;"
        " empty if they do not."
    )
    encryption_key_ref = Field[str | None](
        "Where the key of an encrypted volume is, if it is outside the store: ``file:<ID>`` or"
        " ``castellan:<ID>``."
    )
    type_name = Field[str | None](
        "The name of the volume type; ``None`` if it has own specs or no specs."
    )
    volume_type_id = Field[str | None](
        "The ID of the volume type. Without one, the volume's own ID if it has specs, otherwise"
        " ``None``."
    )
    source_volid = Field[str | None]("ID of the volume that it was cloned from.")
    snapshot_id = Field[str | None]("ID of the snapshot that it was created from.")
    group_id = Field[str | None]("The ID of the group that it belongs to.")
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
    applied = Field[AppliedStream | None](
        "The stream that was applied last, see :meth:`apply_stream`."
    )
    snapshot_access = Field[str | None](
        "For the temporary volume of an attached snapshot, ``'native'`` if the storage maps the"
        " snapshot itself, and ``'clone'`` if the volume is a copy; otherwise ``None``."
    )
    retype_target = Field[TypeSpecs | None](
        "The specs of a retype that failed or was interrupted; the storage can have them already."
    )
    launched_at = Field[datetime.datetime | None]("When the storage had created it.")

    def __init__(
        self,
        backend_or_vol: Backend | Volume | str,
        pool_name: str | None = None,
        **named: Unpack[VolumeKeywords],
    ) -> None:
        source = backend_or_vol._record if isinstance(backend_or_vol, Volume) else None
        backend = self._backend_of(backend_or_vol)
        new = new_volume.describe(backend, source, pool_name, named)
        self._init(backend.controller, new.record)
        self._unique_name = new.unique_name
        self._requested: Mapping[str, Any] = new.requested

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
            record, self.changed = operations.create_volume.create(
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
                operations.delete_volume.refuse_connected(self._controller.store, self.id)
                for snapshot in reversed(self.snapshots):
                    snapshot.delete()
            self.changed = operations.delete_volume.delete(self._controller.journal, self.id)
        self._removed(status="deleted")

    def rename(self, name: str) -> None:
        """Change its name to one that no other volume of the backend has.

        :raises AlreadyExists: another volume of the backend has the name. Nothing changed.
        """
        wanted = validation.check_name(name)
        with self._named():
            record, self.changed = operations.unique_names.rename(
                self._controller.journal, self.id, wanted
            )
            self._adopt(record)

    def extend(self, size: float) -> int:
        """Extend the volume, and its device if it is attached to this host.

        :param size: the new size in GiB, whole or fractional (rounded up).
        :returns: the new size in bytes; the size of the device if it is attached here.
        :raises InvalidInput: it is already larger.
        """
        wanted = validation.check_size(size)
        with self._named():
            record, self.changed, seen = operations.extend.extend(
                self._controller.journal, self.id, wanted
            )
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

    def wipe(self) -> None:
        """Overwrite all its data with zeros, through an attachment of this host.

        The data is discarded if the device supports that, and otherwise overwritten where it is not
        zero. Its snapshots and copies keep their data. Repeat a call that was interrupted.

        :raises InvalidVolume: it is connected; nothing changed.
        :raises NodeError: this host cannot attach it, or the device failed. If a part of the data
            was overwritten already, the status is ``'error'``: repeat the call, or delete it.
        """
        journal = self._controller.journal
        with self._named(), journal.whole_call():
            self._adopt(operations.wipe.wipe(journal, self.id))
        self.changed = True

    def _document(self, *, related: bool) -> serialization.VolumeDocument:
        record = cast(VolumeRecord, self._pending())
        return serialization.volume_document(
            record,
            snapshots=[s._record for s in self.snapshots] if related else None,
            connections=[c._record for c in self.connections] if related else None,
            options=self._controller.document_options(record.backend),
        )
