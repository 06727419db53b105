"""The snapshot that users hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from cinderlib import errors, serialization, validation
from cinderlib.objects.cinder_fields import SnapshotFields
from cinderlib.objects.resource import Field, Resource, refuse_unknown
from cinderlib.objects.volume import Volume
from cinderlib.operations import snapshots as operations
from cinderlib.records import SnapshotRecord, new_id

_GIVEN: Mapping[str, Callable[[Any], Any]] = {
    "name": validation.check_name,
    "description": validation.check_description,
    "metadata": validation.check_metadata,
}
_NAMES = {"display_name": "name", "display_description": "description"}


class Snapshot(SnapshotFields, Resource):
    """The data of a volume at one moment.

    ``Snapshot(volume, name='x')`` describes one that :meth:`create` then takes;
    ``Volume.create_snapshot`` does both.

    :param volume: what it is of.
    :param fields: ``id``, ``name``, ``description``, ``metadata``.
    :raises InvalidInput: a field is unknown or has an impossible value.
    """

    _kind = SnapshotRecord
    _not_found = errors.SnapshotNotFound
    _record: SnapshotRecord

    #: Id of the volume that it is of.
    volume_id: ClassVar[Field[str]] = Field()
    #: Of the volume when it was taken, in GiB.
    volume_size: ClassVar[Field[int]] = Field()
    #: Up to 255 characters; need not be unique. Can be set and saved.
    name: ClassVar[Field[str]] = Field(validation.check_name)
    #: Up to 255 characters. Can be set and saved.
    description: ClassVar[Field[str]] = Field(validation.check_description)
    #: As in Cinder: ``'creating'``, ``'available'``, ``'deleting'``, ``'error'``, ...
    status: ClassVar[Field[str]] = Field()
    #: A driver's, such as ``'50%'``; nothing here looks at it.
    progress: ClassVar[Field[str | None]] = Field()
    #: Yours. Can be changed in place and saved.
    metadata: ClassVar[Field[dict[str, str]]] = Field(validation.check_metadata)
    #: Kept, and nothing is done with it.
    encryption_key_id: ClassVar[Field[str | None]] = Field()
    #: A driver's; nothing here looks at it.
    group_snapshot_id: ClassVar[Field[str | None]] = Field()
    #: The volume's.
    user_id: ClassVar[Field[str | None]] = Field()
    #: The volume's.
    project_id: ClassVar[Field[str | None]] = Field()
    #: What the array calls it, where the driver says so.
    provider_id: ClassVar[Field[str | None]] = Field()
    #: The driver's.
    provider_location: ClassVar[Field[str | None]] = Field()

    def __init__(self, volume: Volume, **fields: Any) -> None:
        if not isinstance(volume, Volume):
            raise errors.InvalidInput(f"A snapshot is of a volume, not {type(volume).__name__}")
        controller = volume._controller
        fields = {_NAMES.get(name, name): value for name, value in fields.items()}
        refuse_unknown("A snapshot", fields, ["id", *_GIVEN])
        given = {name: check(fields[name]) for name, check in _GIVEN.items() if name in fields}
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
        # Names are given by create_snapshot always; an empty one was not asked for.
        self._asked: Mapping[str, Any] = {name: value for name, value in given.items() if value}

    @classmethod
    def get_by_id(cls, snapshot_id: str) -> Snapshot:
        """The snapshot that has the id.

        :raises SnapshotNotFound: there is none.
        """
        return cls._class_controller().snapshot(snapshot_id)

    @classmethod
    def get_by_name(cls, snapshot_name: str) -> list[Snapshot]:
        """The snapshots that have exactly this name, in the order of creation."""
        return list(cls._class_controller().snapshots(name=snapshot_name))

    @property
    def volume(self) -> Volume:
        """The volume it is of, as the store has it now.

        :raises VolumeNotFound: the volume is gone.
        """
        return self._controller.volume(self._record.volume_id)

    @property
    def name_in_storage(self) -> str:
        """What the snapshot is called on the array."""
        return self._controller.name_in_storage(self._record)

    def create(self) -> None:
        """Take it. Asked again, it takes over what is there.

        :raises AlreadyExists: another snapshot has the id.
        :raises DriverError: the storage failed; the snapshot stays in the store as ``'error'``, to
            be deleted or to be taken again.
        """
        with self._named():
            record, self.changed = operations.create(
                self._controller.journal, self._record, getattr(self, "_asked", {})
            )
            self._adopt(record)

    def delete(self) -> None:
        """Delete it; one that is gone already is no error."""
        with self._named():
            self.changed = operations.delete(self._controller.journal, self.id)
        self._removed(status="deleted")

    def create_volume(self, **fields: Any) -> Volume:
        """Make a volume with its data, on the same backend.

        :param fields: of the new volume, as for :class:`Volume`; ``size`` may be larger.
        """
        fields = {"size": self._record.volume_size, "name": "", **fields}
        return self.volume._derived("snapshot_id", self.id, fields)

    def _document(self, *, related: bool) -> serialization.Document:
        record = cast(SnapshotRecord, self._pending())
        return serialization.snapshot_document(
            record,
            volume=self.volume._record if related else None,
            options=self._controller.document_options(record.backend),
        )
