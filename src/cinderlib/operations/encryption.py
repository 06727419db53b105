"""Volumes that hosts encrypt: their keys, and the data with which a host opens them.

A volume has a key from its creation. Copies have the key of their source, because they have its
header. The key is a secret of the record, so it is dumped, migrated and deleted with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from cinderlib import errors
from cinderlib.persistence.base import Store
from cinderlib.records import (
    ConnectionRecord,
    Secret,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
    replace,
)

#: The length of a new key, in bytes.
_KEY_BYTES = 32


def of_new(
    store: Store, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord | None
) -> VolumeRecord:
    """A new volume with its key.

    :param source: the snapshot or volume whose data it gets.
    :raises InvalidInput: it cannot have the requested encryption. Nothing changed.
    :raises InvalidPersistence: the store would keep the key in clear. Nothing changed.
    """
    is_snapshot = isinstance(source, SnapshotRecord)
    if isinstance(source, SnapshotRecord):
        source = store.get(VolumeRecord, source.volume_id)
    if source is not None and volume.encryption != source.encryption:
        raise errors.InvalidInput(
            f"Volume {volume.id} must have the same encryption as the source, {source.id}"
            f" ({_shown(source.encryption)}), because the storage copies the encrypted data;"
            f" requested: {_shown(volume.encryption)}. Create an empty volume, attach both, and"
            " copy the data"
        )
    if not volume.encryption:
        return volume
    if not store.encrypts:
        raise errors.InvalidPersistence(
            "Encrypted volumes need a store that encrypts their keys: create a key with `cinderlib"
            " store generate-key`, and set encryption_keys in [store]"
        )
    if source is not None:
        return replace(
            volume,
            encryption_key=source.encryption_key,
            # A snapshot can be older than the header.
            encryption_opened=source.encryption_opened and not is_snapshot,
        )
    if volume.encryption_key is not None:
        return volume  # the copy of a migration
    return replace(volume, encryption_key=Secret(secrets.token_hex(_KEY_BYTES)))


def _shown(encryption: dict[str, str]) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(encryption.items())) or "not encrypted"


def for_host(volume: VolumeRecord, others: Sequence[ConnectionRecord]) -> dict[str, Any] | None:
    """What a host gets to open an encrypted volume; ``None`` for a volume without encryption.

    Only the first host may create the header.

    :param others: the other connections of the volume.
    :raises InvalidState: the record has no key.
    :raises DecryptionError: the store cannot decrypt the key.
    """
    if not volume.encryption:
        return None
    if not volume.encryption_key:
        raise errors.InvalidState(
            f"The key of encrypted volume {volume.id} is lost: its record has none. Load the record"
            " again from a dump of the store that has it",
            resource=volume.id,
        )
    size = volume.encryption.get("key_size")
    found = {
        "provider": volume.encryption["provider"],
        "key": volume.encryption_key.reveal(),
        "cipher": volume.encryption.get("cipher"),
        "key_size": None if size is None else int(size),
        "format": not volume.encryption_opened and not any(map(_decrypts, others)),
    }
    return {name: value for name, value in found.items() if value is not None}


def _part(connection: ConnectionRecord) -> dict[str, Any]:
    info = connection.conn_info.known() if connection.conn_info else None
    found = info.get("encryption") if isinstance(info, dict) else None
    return found if isinstance(found, dict) else {}


def _decrypts(connection: ConnectionRecord) -> bool:
    return bool(_part(connection))


def opened(conn_info: Secret | None) -> Secret | None:
    """The connection information after the host has opened the volume."""
    info = conn_info.reveal() if conn_info else None
    if not isinstance(info, dict) or not info.get("encryption", {}).get("format"):
        return conn_info
    return Secret({**info, "encryption": {**info["encryption"], "format": False}})


def with_key_of(
    connection: ConnectionRecord, volume: VolumeRecord, conn_info: dict[str, Any]
) -> Secret:
    """New connection information with which the host of a connection opens the volume as before.

    :raises DecryptionError: the store cannot decrypt the key.
    """
    before = connection.conn_info.reveal() if volume.encryption and connection.conn_info else {}
    part = before.get("encryption")
    return Secret({**conn_info, "encryption": part} if part else conn_info)


def is_opened(connection: ConnectionRecord) -> bool:
    """Whether the host of a connection has opened the encrypted volume."""
    return _part(connection).get("format") is False


def refuse_other_access(
    connection: ConnectionRecord, volume: VolumeRecord, *, decrypt: bool
) -> None:
    """Refuse a repeated connect that differs in whether the host decrypts the volume.

    :raises AlreadyExists: it differs.
    """
    if volume.encryption and _decrypts(connection) != decrypt:
        has, wanted = ("encrypted", "decrypted") if decrypt else ("decrypted", "encrypted")
        raise errors.AlreadyExists(
            f"Volume {volume.id} is already connected to this host for its {has} data, not for its"
            f" {wanted} data: disconnect it first",
            resource=connection.id,
            differences={"decrypt": (not decrypt, decrypt)},
        )


def refuse_change(volume: VolumeRecord, target: TypeSpecs) -> None:
    """Refuse a retype to another encryption.

    :raises Unsupported: it is another one. Nothing changed.
    """
    if volume.encryption != target.encryption:
        raise errors.Unsupported(
            f"Volume {volume.id} cannot be retyped: its encryption would change from"
            f" {_shown(volume.encryption)} to {_shown(target.encryption)}, and its data is not"
            " encrypted again. Create a volume of the other type, attach both, and copy the data",
            resource=volume.id,
        )


def refuse_existing(volume: VolumeRecord) -> None:
    """Refuse to manage an existing volume as an encrypted one.

    :raises InvalidInput: an encryption is requested. Nothing changed.
    """
    if volume.encryption:
        raise errors.InvalidInput(
            "An existing volume cannot be managed with an encryption: its key is not known. Manage"
            " it without, and copy its data to a new encrypted volume"
        )


def refuse_copy_by_host(volume: VolumeRecord) -> None:
    """Refuse a migration whose data a hypervisor copies: it would copy decrypted data.

    :raises Unsupported: the volume is encrypted. Nothing changed.
    """
    if volume.encryption:
        raise errors.Unsupported(
            f"Encrypted volume {volume.id} cannot be migrated by a program that copies its"
            " decrypted data. Disconnect it, and migrate it with its driver or by a copy of this"
            " host",
            resource=volume.id,
        )
