"""Volumes that hosts encrypt: their keys, and the data with which a host opens them.

A volume has a key from its creation. Copies have the key of their source, because they have its
header. The key is a secret of the record, so it is dumped, migrated and deleted with it; or it is
outside the store, and each volume has its own copy, which is deleted with the volume.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from cinderlib import errors
from cinderlib.keys import VolumeKeys
from cinderlib.operations import capabilities
from cinderlib.operations.journal import Journal
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
#: The size of the headers, in MiB.
_HEADERS = {"luks": 2, "luks2": 16}
#: The name of the reference to a key outside the store, in the connection information.
_REFERENCE = "key_ref"


def of_new(
    journal: Journal, volume: VolumeRecord, source: VolumeRecord | SnapshotRecord | None
) -> VolumeRecord:
    """A new volume with its key, which is not stored yet.

    :param source: the snapshot or volume whose data it gets.
    :raises InvalidInput: it cannot have the requested encryption. Nothing changed.
    :raises Unsupported: hosts have no block device of the backend's volumes. Nothing changed.
    :raises InvalidPersistence: the store would keep the key in clear. Nothing changed.
    :raises KeyManagerError: the key of the source cannot be read. Nothing changed.
    """
    is_snapshot = isinstance(source, SnapshotRecord)
    if isinstance(source, SnapshotRecord):
        source = journal.store.get(VolumeRecord, source.volume_id)
    if source is not None and volume.encryption != source.encryption:
        raise errors.InvalidInput(
            f"Volume {volume.id} must have the same encryption as the source, {source.id}"
            f" ({_shown(source.encryption)}), because the storage copies the encrypted data;"
            f" requested: {_shown(volume.encryption)}. Create an empty volume, attach both, and"
            " copy the data"
        )
    if not volume.encryption:
        return volume
    refuse_impossible(journal, volume.backend, volume.id)
    if source is not None:
        # A snapshot can be older than the header.
        is_opened = source.encryption_opened and not is_snapshot
        volume = replace(volume, encryption_opened=is_opened)
    like = volume if source is None else source  # itself: the copy of a migration
    has_key = like.encryption_key is not None or like.encryption_key_ref is not None
    key = _key(journal.keys, like) if has_key or source else secrets.token_hex(_KEY_BYTES)
    return replace(volume, encryption_key=Secret(key), encryption_key_ref=None)


def refuse_impossible(journal: Journal, backend: str, volume_id: str) -> None:
    """Refuse a new encrypted volume that hosts could not open, or whose key the store would keep in
    clear.

    :raises Unsupported: hosts have no block device of the backend's volumes. Nothing changed.
    :raises InvalidPersistence: the key would be in clear. Nothing changed.
    """
    capabilities.require_encryption(journal.driver(backend), backend, volume_id)
    if not journal.keys.are_outside and not journal.store.encrypts:
        raise errors.InvalidPersistence(
            "Encrypted volumes need a store that encrypts their keys: create a key with `cinderlib"
            " store generate-key`, and set encryption_keys in [store]. Or keep the keys outside the"
            " store: set manager in [volume_keys]"
        )


def size_with(volume: VolumeRecord, encryption: dict[str, str]) -> int:
    """The size in GiB that a volume needs with another encryption, so that the decrypted device is
    not smaller: filesystems and partition tables would not fit."""
    before, after = (
        _HEADERS.get(each.get("provider", ""), 0) for each in (volume.encryption, encryption)
    )
    return volume.size + (after > before)


def separated(keys: VolumeKeys, volume: VolumeRecord) -> tuple[VolumeRecord, Secret | None]:
    """The record of a new volume to store, and the key to keep outside the store.

    :returns: no key if the store keeps it, or the volume is not encrypted.
    """
    key = volume.encryption_key
    if key is None or not keys.are_outside:
        return volume, None
    reference = keys.reserve(volume.id)
    return replace(volume, encryption_key=None, encryption_key_ref=reference), key


def keep_key(journal: Journal, volume: VolumeRecord, key: Secret | None) -> VolumeRecord:
    """Keep the key of a new volume outside the store; its intent is stored.

    :param key: the result of :func:`separated`.
    :returns: the volume with the final reference, which is stored.
    :raises KeyManagerError: it is not kept. The storage did not change.
    """
    if key is None or volume.encryption_key_ref is None:
        return volume
    reference = journal.keys.put(volume.encryption_key_ref, volume.id, key.reveal())
    return journal.keep(volume, replace(volume, encryption_key_ref=reference))


def delete_key(journal: Journal, volume: VolumeRecord | None) -> None:
    """Delete the key of a volume outside the store, after its data was deleted.

    It is called before the record is removed, so that recovery or a repeated call deletes the key
    if this call does not. A key in the record is deleted with the record.

    :raises KeyManagerError: the key can still exist.
    """
    if volume is None or volume.encryption_key_ref is None:
        return
    try:
        journal.keys.delete(volume.encryption_key_ref, volume.id)
    except errors.KeyManagerError as exc:
        exc.add_note(
            f"The data of volume {volume.id} was deleted. To delete its key and its record too,"
            " repeat the call"
        )
        raise


def _key(keys: VolumeKeys, volume: VolumeRecord) -> str:
    """The key of a volume, in hexadecimal digits.

    :raises InvalidState: the record has no key.
    :raises KeyManagerError: the key is outside the store, and cannot be read.
    :raises DecryptionError: the store cannot decrypt the key.
    """
    if volume.encryption_key_ref is not None:
        return keys.get(volume.encryption_key_ref, volume.id)
    if not volume.encryption_key:
        raise errors.InvalidState(
            f"The key of encrypted volume {volume.id} is lost: its record has none. Load the record"
            " again from a dump of the store that has it",
            resource=volume.id,
        )
    found: str = volume.encryption_key.reveal()
    return found


def _shown(encryption: dict[str, str]) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(encryption.items())) or "not encrypted"


def for_host(
    keys: VolumeKeys, volume: VolumeRecord, others: Sequence[ConnectionRecord]
) -> dict[str, Any] | None:
    """What a host gets to open an encrypted volume; ``None`` for a volume without encryption. It
    has a reference instead of a key outside the store; compare :func:`with_key`.

    Only the first host may create the header.

    :param others: the other connections of the volume.
    :raises InvalidState: the record has no key.
    :raises KeyManagerError: the key is outside the store, and cannot be read.
    :raises DecryptionError: the store cannot decrypt the key.
    """
    if not volume.encryption:
        return None
    key = _key(keys, volume)
    is_outside = volume.encryption_key_ref is not None
    size = volume.encryption.get("key_size")
    found = {
        "provider": volume.encryption["provider"],
        "key": None if is_outside else key,
        _REFERENCE: volume.encryption_key_ref,
        "cipher": volume.encryption.get("cipher"),
        "key_size": None if size is None else int(size),
        "format": not volume.encryption_opened and not any(map(_decrypts, others)),
    }
    return {name: value for name, value in found.items() if value is not None}


def with_key(keys: VolumeKeys, connection: ConnectionRecord) -> ConnectionRecord:
    """A connection for the host, with the key of an encrypted volume if it is outside the store.
    It is not for the store.

    :raises KeyManagerError: the key cannot be read.
    """
    part = _part(connection)
    if _REFERENCE not in part or connection.conn_info is None:
        return connection
    key = keys.get(part[_REFERENCE], connection.volume_id)
    kept = {name: value for name, value in part.items() if name != _REFERENCE}
    info = {**connection.conn_info.reveal(), "encryption": {**kept, "key": key}}
    return replace(connection, conn_info=Secret(info))


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


def refuse_change(volume: VolumeRecord, target: TypeSpecs, instead: str) -> None:
    """Refuse a retype to another encryption without a copy.

    :param instead: what the caller can do instead.
    :raises Unsupported: it is another one. Nothing changed.
    """
    if volume.encryption != target.encryption:
        raise errors.Unsupported(
            f"Volume {volume.id} cannot be retyped in place: its encryption would change from"
            f" {_shown(volume.encryption)} to {_shown(target.encryption)}, and its data is not"
            f" encrypted again. Nothing changed. {instead}",
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
