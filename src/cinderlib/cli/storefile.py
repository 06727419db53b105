"""Writes and reads the file of ``store dump`` and ``store load``: JSON Lines, one document a line.

An item is the document of a volume, including its snapshots and connections, or a dict of ``key``
and ``value``, for which the library has no document.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from cinderlib import errors
from cinderlib.cli import sizes
from cinderlib.persistence.checks import check_keys
from cinderlib.records import KeyValueRecord, check_types
from cinderlib.validation import check_id
from cinderlib.value_checks import json_object

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.persistence.sql.cinderlib5 import Cinderlib5Database

_KEY_VALUE = b'{"class": "KeyValue"'


@dataclasses.dataclass
class Counts:
    """The number of records that were read or written, by kind."""

    volumes: int = 0
    snapshots: int = 0
    connections: int = 0
    key_values: int = 0
    #: Volumes and keys that already existed, and did not change.
    kept: int = 0

    @property
    def items(self) -> int:
        """The number of items."""
        return self.volumes + self.key_values

    def __str__(self) -> str:
        counted = {name: count for name, count in vars(self).items() if name != "kept"}
        return sizes.counted(counted)


def write(controller: cl.Controller, volumes: Iterable[cl.Volume], file: IO[bytes]) -> Counts:
    """Write volumes and the key-values of the store, **including their secrets**."""
    from cinderlib import serialization

    counts = Counts()
    for document in controller.documents(volumes):
        file.write(serialization.to_line(document))
        _count(counts, document)
    for item in controller.key_values():
        line = {"class": "KeyValue", "format": 1, "key": item.key, "value": item.value}
        file.write(json.dumps(line).encode() + b"\n")
        counts.key_values += 1
    return counts


def unreadable(controller: cl.Controller) -> list[errors.DamagedRecord]:
    """The damaged records, which :func:`write` cannot write."""
    from cinderlib.records import KINDS, IntentRecord, OperationRecord

    return [
        found
        for kind in KINDS.values()
        if kind not in (IntentRecord, OperationRecord)
        for found in controller.store.scan(kind)
        if isinstance(found, errors.DamagedRecord)
    ]


def count(items: Iterable[Any]) -> Counts:
    """Read and check all items without storing them, and count them."""
    counts = Counts()
    for item in items:
        _count(counts, item)
    return counts


def load(controller: cl.Controller, items: Iterable[Any], *, overwrite: bool = False) -> Counts:
    """Store items that :func:`count` has checked.

    :param overwrite: whether to overwrite existing records.
    """
    counts = Counts()
    for group in _grouped_items(items, controller.store.bulk):
        if not overwrite and _loaded_together(controller, group):
            for item in group:
                _count(counts, item)
            continue
        for item in group:
            if not overwrite and _exists(controller, item):
                counts.kept += 1
                continue
            _load_item(controller, item)
            _count(counts, item)
    return counts


def _grouped_items(items: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Groups of items with at most that number of records, or one item. A key-value is alone."""
    group: list[Any] = []
    records = 0
    for item in items:
        size = most if isinstance(item, dict) else len(_records_in(item))
        if group and records + size > most:
            yield group
            group, records = [], 0
        group.append(item)
        records += size
    if group:
        yield group


def _records_in(volume: Any) -> list[Any]:
    return [volume, *(volume.snapshots or ()), *(volume.connections or ())]


def _loaded_together(controller: cl.Controller, group: list[Any]) -> bool:
    """Store several volumes in one transaction, which takes a tenth of the time.

    :returns: whether that is possible: one of them may already exist. If not, nothing changed.
    """
    if len(group) < 2:
        return False
    from cinderlib.objects import documents_in

    try:
        documents_in.save_new(controller, group)
    except errors.StaleRecord:
        return False
    return True


def _load_item(controller: cl.Controller, item: Any) -> None:
    if isinstance(item, dict):
        from cinderlib.persistence.base import Put

        record = KeyValueRecord(id=item["key"], value=item["value"])
        controller.store.apply(Put(record, check=False))
    else:
        from cinderlib import serialization

        controller.load(serialization.to_text(item), save=True)


def _exists(controller: cl.Controller, item: Any) -> bool:
    if isinstance(item, dict):
        return controller.store.get(KeyValueRecord, item["key"]) is not None
    try:
        return controller.peek_volume(item.volume.id) is not None
    except errors.DamagedRecord:
        return False  # the dump can repair the record


def _count(counts: Counts, item: Any) -> None:
    if isinstance(item, dict):
        counts.key_values += 1
    else:
        counts.volumes += 1
        counts.snapshots += len(item.snapshots or ())
        counts.connections += len(item.connections or ())


def of_cinderlib5(database: Cinderlib5Database, *, non_uuid_ids: bool = True) -> Iterator[Any]:
    """The items of a database of cinderlib 5.

    :param non_uuid_ids: whether IDs can be other texts than UUIDs.
    :raises InvalidDocument: a volume in it is not valid; the message has its ID.
    """
    from cinderlib import serialization

    for document in database.documents():
        try:
            found = serialization.read(document)
            check_ids(found, non_uuid_ids)
        except errors.InvalidInput as exc:
            id = document["ovo"]["versioned_object.data"]["id"]
            raise errors.InvalidDocument(f"Volume {id} in {database.name}: {exc}") from None
        yield found
    for key, value in database.key_values():
        yield {"key": key, "value": value}


def lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a dump. A file with one endless line fills neither the memory nor a disk.

    :raises InvalidDocument: a line is too long; the message has its number.
    """
    from cinderlib.serialization import MAX_BYTES

    for number, line in enumerate(iter(lambda: file.readline(MAX_BYTES + 1), b""), start=1):
        if len(line) > MAX_BYTES:
            raise errors.InvalidDocument(f"Line {number} is longer than {MAX_BYTES} bytes")
        yield line


def read(file: IO[bytes], *, non_uuid_ids: bool = True) -> Iterator[Any]:
    """The items of a dump.

    :param non_uuid_ids: whether IDs can be other texts than UUIDs.
    :raises InvalidDocument: a line is not valid; the message has its number.
    """
    for number, line in enumerate(lines(file), start=1):
        if not line.strip():
            continue
        try:
            item = _item(line, non_uuid_ids)
        except errors.InvalidInput as exc:
            raise errors.InvalidDocument(f"Line {number}: {exc}") from None
        yield item


def _item(line: bytes, non_uuid_ids: bool) -> Any:
    from cinderlib import serialization

    if line.startswith(_KEY_VALUE):
        return _key_value(line)
    document = serialization.read(line)
    if not isinstance(document, serialization.VolumeDocument):
        raise errors.InvalidDocument(
            "The document is not a volume; a dump contains one volume in each line, with its"
            " snapshots and connections"
        )
    check_ids(document, non_uuid_ids)
    return document


def check_ids(document: Any, non_uuid_ids: bool) -> None:
    """Check the IDs in the document of a volume.

    :raises InvalidInput: an ID is not a UUID, and IDs must be UUIDs.
    """
    from cinderlib import serialization

    if not non_uuid_ids:
        for record in serialization.records_of(document):
            check_id(record.id, record.kind)


def read_again(file: IO[bytes]) -> Iterator[Any]:
    """The items of a dump that :func:`read` has accepted and that nobody could change since. They
    are not checked again."""
    from cinderlib import serialization

    for line in file:
        if line.startswith(_KEY_VALUE):
            yield _key_value(line)
        elif line.strip():
            yield serialization.read_again(line)


def _key_value(line: bytes) -> dict[str, Any]:
    item = json_object(line) or {}
    key, value = item.get("key"), item.get("value", 0)
    if not isinstance(key, str) or not isinstance(value, str | None):
        raise errors.InvalidDocument("The key-value is not valid")
    record = KeyValueRecord(id=key, value=value)
    check_keys(record)
    try:
        check_types(record)
    except ValueError as exc:
        raise errors.InvalidDocument(f"The document is {exc}") from None
    return {"key": key, "value": value}
