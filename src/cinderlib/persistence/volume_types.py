"""The volume types of a store. Each is a key-value, so every store can keep them.

The ID of a type depends on its name alone. So a name is unique without a lock, and the same type
has the same ID in every store.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator

import msgspec

from cinderlib.errors import DamagedRecord
from cinderlib.persistence.base import Store
from cinderlib.records import KeyValueRecord, TypeSpecs

#: The prefix of the keys.
PREFIX = "cinderlib/volume-type/"
_NAMESPACE = uuid.UUID("0f3d5c0e-3b0f-4c3e-9d27-6a3d2a5c8f41")


class StoredType(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A type in the store.

    :ivar deleting: whether a deletion has begun. The next volume with the type takes the mark away.
    """

    specs: TypeSpecs
    deleting: bool = False


_decoder = msgspec.json.Decoder(StoredType)


@functools.lru_cache(maxsize=1024)
def id_of(name: str) -> str:
    """The ID of the type with a name."""
    return str(uuid.uuid5(_NAMESPACE, name))


def find(store: Store, id: str) -> tuple[KeyValueRecord, StoredType | None]:
    """A type, and the record to write it with; a new record if the store does not have the type.

    :raises DamagedRecord: it cannot be read.
    """
    key = PREFIX + id
    record = store.get(KeyValueRecord, key)
    return (KeyValueRecord(id=key), None) if record is None else (record, _decode(record))


def text(stored: StoredType) -> str:
    """The value of the record."""
    return msgspec.json.encode(stored).decode()


def iterate(store: Store) -> Iterator[StoredType]:
    """All types of a store.

    :raises Unsupported: the store is a plug-in for cinderlib 5 that cannot list key-values.
    """
    for record in store.iterate(KeyValueRecord):
        if record.id.startswith(PREFIX):
            yield _decode(record)


def _decode(record: KeyValueRecord) -> StoredType:
    try:
        return _decoder.decode(record.reveal() or "")
    except msgspec.MsgspecError as exc:
        raise DamagedRecord(
            f"The volume type in the key-value {record.id!r} of the store cannot be read: {exc}",
            resource=record.id,
        ) from None
