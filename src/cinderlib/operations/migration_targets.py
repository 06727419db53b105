"""The copies of volumes that are being migrated.

The copy is a separate volume until the migration ends. Its ``migration_status`` is
``'target:<ID of the volume>'``, as in Cinder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cinderlib import errors
from cinderlib.operations.journal import Journal
from cinderlib.records import IntentRecord, VolumeRecord, replace

#: The operation that copies a volume.
BY_COPY = "volume.migrate_by_copy"

_TARGET = "target:"

#: Fields of a volume's record that describe where it is on which storage.
_PLACE = (
    "backend", "host", "cluster_name", "name_id", "provider_id", "provider_location",
    "provider_geometry", "provider_auth", "shared_targets", "replication_status",
    "replication_extended_status", "replication_driver_data",
)  # fmt: skip
#: Fields of a volume's record that belong to its encryption.
_ENCRYPTION = ("encryption", "encryption_key", "encryption_key_ref", "encryption_opened")
#: Secrets, which an intent does not have.
_SECRETS = ("encryption_key", "provider_auth")


def of(volume: VolumeRecord) -> str | None:
    """The ID of the volume that a copy replaces; ``None`` if it is not such a copy."""
    status = volume.migration_status or ""
    return status.removeprefix(_TARGET) if status.startswith(_TARGET) else None


def describe(
    volume: VolumeRecord, id: str, *, backend: str, host: str, changes: dict[str, Any]
) -> VolumeRecord:
    """The record of a new copy of a volume.

    :param id: of the copy.
    :param changes: further fields in which it differs. With another encryption, it gets a new key.
    """
    fields = {
        "size": volume.size,
        "extra_specs": volume.extra_specs,
        "qos_specs": volume.qos_specs,
        "type_name": volume.type_name,
        "volume_type_id": volume.volume_type_id,
        **{name: getattr(volume, name) for name in _ENCRYPTION},
        **changes,
    }
    if fields["volume_type_id"] == volume.id:
        fields["volume_type_id"] = id
    if fields["encryption"] != volume.encryption:
        fields |= {"encryption_key": None, "encryption_key_ref": None, "encryption_opened": False}
    return VolumeRecord(
        id=id,
        backend=backend,
        host=host,
        name=f"migration of {volume.name or volume.id}"[:255],
        description=f"The copy of volume {volume.id}, until its migration ends",
        migration_status=f"{_TARGET}{volume.id}",
        availability_zone=volume.availability_zone,
        user_id=volume.user_id,
        project_id=volume.project_id,
        bootable=volume.bootable,
        multiattach=volume.multiattach,
        metadata=volume.metadata,
        admin_metadata=volume.admin_metadata,
        glance_metadata=volume.glance_metadata,
        encryption_key_id=volume.encryption_key_id,
        **fields,
    )


def _exchanged(volume: VolumeRecord, copy: VolumeRecord) -> tuple[str, ...]:
    """The fields that a volume and its copy exchange: the place, and with another encryption also
    the key. With the same encryption, both have their own copy of the key."""
    return _PLACE if volume.encryption == copy.encryption else (*_PLACE, *_ENCRYPTION)


def before(volume: VolumeRecord, copy: VolumeRecord) -> dict[str, Any]:
    """The fields of a volume that the old data keeps, without secrets."""
    names = ("size", *_exchanged(volume, copy))
    return {name: getattr(volume, name) for name in names if name not in _SECRETS}


def is_moved(volume: VolumeRecord, old: dict[str, Any] | None) -> bool:
    """Whether a volume has already the place of the copy.

    :param old: the result of :func:`before`, or ``None`` if it is not recorded yet.
    """
    place = ("backend", "host", "name_id")
    return old is not None and any(getattr(volume, name) != old[name] for name in place)


def moved(volume: VolumeRecord, copy: VolumeRecord, changes: dict[str, Any]) -> VolumeRecord:
    """The record of a volume after its copy has replaced its data on the storage.

    :param copy: as the driver has named it.
    :param changes: further fields in which it differs.
    """
    taken = {name: getattr(copy, name) for name in _exchanged(volume, copy)}
    return replace(
        volume,
        **{**taken, **changes},
        # What the driver of the destination has added.
        metadata={**copy.metadata, **volume.metadata},
        admin_metadata={**copy.admin_metadata, **volume.admin_metadata},
        managed_from=None,
    )


def replaced(
    copy: VolumeRecord, old: dict[str, Any], volume: VolumeRecord, *, is_exchanged: bool
) -> VolumeRecord:
    """The record of the copy with the old data of the volume, which is deleted next.

    :param old: the result of :func:`before`.
    :param is_exchanged: whether the volume has the place of the copy already. Its secrets are those
        of the copy then, and a deletion needs none.
    """
    of_old = {"provider_auth": None if is_exchanged else volume.provider_auth}
    if "encryption" in old:
        of_old["encryption_key"] = None if is_exchanged else volume.encryption_key
    return replace(
        copy,
        **{"size": volume.size, **old, **of_old, "name_id": old["name_id"] or volume.id},
        status="deleting",
        attach_status="detached",
        migration_status="deleting",
        description=f"The data of volume {volume.id} before its migration",
    )


def refuse_others(journal: Journal, volume: VolumeRecord, task: str) -> None:
    """Refuse to use the copy of a volume while this library migrates it.

    :param task: as a participle, for the message.
    :raises InvalidVolume: another call, or an interrupted one, needs the copy.
    """
    source = of(volume)
    if source is None:
        return
    for each in journal.store.find(IntentRecord, {"resource_id": source}):
        if _needs(each, volume.id) and not journal.is_this_call(each):
            raise errors.InvalidVolume(
                f"Volume {volume.id} cannot be {task}: volume {source} is being migrated to it."
                " Wait until the migration ends; if it was interrupted, call recover()",
                resource=volume.id,
            )


def _needs(intent: IntentRecord, copy_id: str) -> bool:
    return intent.operation == BY_COPY and intent.data.get("copy") == copy_id


def refuse_interrupted(found: Iterable[IntentRecord]) -> None:
    """Refuse to delete a volume whose migration was interrupted: which of the two copies is the
    volume must be settled first.

    :param found: the intents of the volume.
    :raises InvalidVolume: it was.
    """
    for each in found:
        if each.operation == BY_COPY:
            raise errors.InvalidVolume(
                f"Volume {each.resource_id} cannot be deleted: it is being migrated. Wait until the"
                " migration ends; if it was interrupted, call recover()",
                resource=each.resource_id,
            )
