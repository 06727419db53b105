"""The snapshot object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, cast

from cinderlib import errors, operations, serialization, validation, value_checks
from cinderlib.objects.arguments import check_resource, refuse_unknown
from cinderlib.objects.attachable_snapshot import AttachableSnapshot
from cinderlib.objects.cinder_fields import SnapshotFields
from cinderlib.objects.fields import Check, EditableField, Field
from cinderlib.objects.keywords import CopyKeywords, SnapshotKeywords
from cinderlib.objects.managing import ManagedSnapshot
from cinderlib.objects.streaming import StreamedSnapshot
from cinderlib.objects.volume import Volume
from cinderlib.records import SnapshotRecord, new_id

_GIVEN: Mapping[str, Check] = {
    "name": validation.check_name,
    "description": validation.check_description,
    "metadata": validation.check_metadata,
}
_NAMES = {"display_name": "name", "display_description": "description"}


class Snapshot(SnapshotFields, ManagedSnapshot, AttachableSnapshot, StreamedSnapshot):
    """A snapshot of a volume.

    ``Snapshot(volume, name='x')`` describes a snapshot, and :meth:`create` takes it.
    ``Volume.create_snapshot`` does both.

    :param volume: the volume to take the snapshot of.
    :param named: ``id``, ``name``, ``description``, ``metadata``; ``unique_name``, to refuse a name
        that another snapshot of the volume has.
    :raises InvalidInput: a field is unknown or has an invalid value.
    """

    _kind = SnapshotRecord
    _not_found = errors.SnapshotNotFound
    _shown = ("name", "volume_id", "volume_size", "status")
    _record: SnapshotRecord
    _unique_name = False

    volume_id = Field[str]("ID of the volume.")
    volume_size = Field[int]("Size of the volume when the snapshot was taken, in GiB.")
    name = EditableField[str](
        "Up to 255 characters, not necessarily unique. Can be set and saved.", validation.check_name
    )
    description = EditableField[str](
        "Up to 255 characters. Can be set and saved.", validation.check_description
    )
    status = Field[str](
        "As in Cinder: ``'creating'``, ``'available'``, ``'deleting'``, ``'error'``, ..."
    )
    progress = Field[str | None]("Set by drivers, such as ``'50%'``; not used here.")
    metadata = EditableField[dict[str, str]](
        "Free for your use. Can be changed in place and saved.", validation.check_metadata
    )
    encryption_key_id = Field[str | None]("Stored but not used.")
    group_snapshot_id = Field[str | None]("The ID of the group snapshot that it belongs to.")
    user_id = Field[str | None]("User ID of the volume.")
    project_id = Field[str | None]("Project ID of the volume.")
    managed_from = Field[dict[str, Any] | None](
        "The driver's reference by which an existing snapshot was managed."
    )
    provider_id = Field[str | None]("ID on the array, if the driver reports one.")
    provider_location = Field[str | None]("The driver's own data.")

    def __init__(self, volume: Volume, **named: Unpack[SnapshotKeywords]) -> None:
        controller = check_resource(volume, Volume, "volume")._controller
        fields: dict[str, Any] = {_NAMES.get(name, name): value for name, value in named.items()}
        refuse_unknown("A snapshot", fields, ["id", "unique_name", *_GIVEN])
        given = {
            name: check(fields[name], name) for name, check in _GIVEN.items() if name in fields
        }
        id = fields.get("id")
        record = SnapshotRecord(
            id=new_id()
            if id is None
            else validation.check_id(id, "snapshot", non_uuid_ids=controller.non_uuid_ids),
            backend=volume._record.backend,
            volume_id=volume.id,
            volume_size=volume._record.size,
            user_id=volume._record.user_id,
            project_id=volume._record.project_id,
            **given,
        )
        self._init(controller, record)
        self._unique_name = value_checks.check_flag(fields.get("unique_name", False), "unique_name")
        # create_snapshot always passes a name and a description; empty ones were not requested.
        self._requested: Mapping[str, Any] = {name: value for name, value in given.items() if value}

    @classmethod
    def get_by_id(cls, snapshot_id: str) -> Snapshot:
        """The snapshot with this ID.

        :raises SnapshotNotFound: no snapshot has that ID.
        """
        return cls._class_controller().snapshot(snapshot_id)

    @classmethod
    def get_by_name(cls, snapshot_name: str) -> list[Snapshot]:
        """The snapshots with exactly this name, in the order of creation."""
        return list(cls._class_controller().snapshots(name=snapshot_name))

    @property
    def volume(self) -> Volume:
        """The volume of the snapshot, read from the store.

        :raises VolumeNotFound: the volume does not exist any more.
        """
        return self._controller.volume(self._record.volume_id)

    @property
    def name_in_storage(self) -> str:
        """The name of the snapshot on the array."""
        return self._controller.name_in_storage(self._record)

    def create(self) -> None:
        """Take the snapshot. A repeated call uses the existing snapshot.

        :raises AlreadyExists: another snapshot has the ID, or the name with ``unique_name``.
        :raises DriverError: the storage failed. The snapshot stays in the store with status
            ``'error'``; delete it or repeat the call.
        """
        with self._named():
            record, self.changed = operations.snapshots.create(
                self._controller.journal,
                self._record,
                getattr(self, "_requested", {}),
                unique_name=self._unique_name,
            )
            self._adopt(record)

    def delete(self) -> None:
        """Delete it. A snapshot that does not exist any more is not an error."""
        with self._named():
            self.changed = operations.snapshots.delete(self._controller.journal, self.id)
        self._removed(status="deleted")

    def create_volume(self, **fields: Unpack[CopyKeywords]) -> Volume:
        """Create a volume from the snapshot, on the same backend.

        :param fields: of the new volume, as for :class:`Volume`; ``size`` may be larger.
        """
        own: CopyKeywords = {"size": self._record.volume_size, "name": ""}
        return self.volume._derived("snapshot_id", self.id, own | fields)

    def _document(self, *, related: bool) -> serialization.Document:
        record = cast(SnapshotRecord, self._pending())
        return serialization.snapshot_document(
            record,
            volume=self.volume._record if related else None,
            options=self._controller.document_options(record.backend),
        )
