"""Reads documents of this version and of cinderlib 5. Documents can come from anywhere, so they are
only data: names in them are never imported or called, size and nesting are limited, and every field
is checked before a record is returned.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from cinderlib.errors import InvalidDocument, InvalidInput
from cinderlib.records import ConnectionRecord, Secret, SnapshotRecord, VolumeRecord
from cinderlib.serialization import cinderlib5
from cinderlib.serialization.documents import (
    FORMAT,
    NAME,
    BackendDocument,
    Document,
    VolumeDocument,
)
from cinderlib.serialization.rules import check_record
from cinderlib.validation import check_backend_name
from cinderlib.value_checks import check_json, check_text, shown

#: Longest text that is read at once, in bytes. Longer text can be read line by line.
MAX_BYTES = 64 * 2**20
#: Maximum nesting of a document if the interpreter's own limit is too high to protect the stack.
_MAX_DEPTH = 1000

_Resource = VolumeRecord | SnapshotRecord | ConnectionRecord


class _Head(msgspec.Struct):
    """The fields that distinguish this version's documents from cinderlib 5's; others are
    ignored."""

    format: Any = msgspec.UNSET
    kind: Any = msgspec.field(name="class", default=msgspec.UNSET)


def _decode_secret(kind: type, value: Any) -> Any:
    return Secret(value)


_head = msgspec.json.Decoder(_Head)
_list = msgspec.json.Decoder(list[msgspec.Raw])
_anything = msgspec.json.Decoder()
_document: msgspec.json.Decoder[Document] = msgspec.json.Decoder(
    Document,
    dec_hook=_decode_secret,
)


def read(
    source: str | bytes | bytearray | Mapping[str, Any] | list[Any], *, max_bytes: int = MAX_BYTES
) -> Document | list[Document]:
    """Read a document, or a list of documents.

    :param source: JSON text in UTF-8, or the same data as plain dicts and lists.
    :param max_bytes: longest JSON text that is read.
    :raises InvalidDocument: it is too long, nested too deeply, not JSON, of an unknown or newer
        format, or contains a value that no resource can have.
    """
    data = _to_bytes(source, max_bytes)
    try:
        _refuse_deep(data)
        if not data.startswith(b"{") and data[:64].lstrip(b" \t\r\n").startswith(b"["):
            return [_read_one(bytes(item)) for item in _list.decode(data)]
        return _read_one(data)
    except RecursionError:
        raise InvalidDocument("The document is nested too deeply.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        # The decoder's error can contain a part of the text, and that part can be a secret.
        raise InvalidDocument(f"The document is not valid: {_reason(exc)}.") from None
    except InvalidDocument:
        raise
    except InvalidInput as exc:
        raise InvalidDocument(f"The document is not valid. {exc}") from None


def read_again(line: bytes) -> Document:
    """Read a document that :func:`read` has accepted. It is not checked again.

    :param line: the same JSON text.
    """
    document = _try_ours(line)
    if isinstance(document, Exception):  # a document of cinderlib 5
        return cinderlib5.read(_anything.decode(line))
    return document


def read_lines(lines: Iterable[bytes], *, max_bytes: int = MAX_BYTES) -> Iterator[Document]:
    """The documents of a JSON Lines file, one at a time, with constant memory.

    :param lines: a file opened in binary mode, or any other source of lines; empty lines are
        ignored.
    :param max_bytes: longest line that is read.
    :raises InvalidDocument: a line is not a document; the message contains its number.
    """
    for number, line in enumerate(_lines(lines, max_bytes + 1), start=1):
        if not line.strip():
            continue
        try:
            document = read(line, max_bytes=max_bytes)
            if isinstance(document, list):
                raise InvalidDocument("A line must be one document, not a list of them.")
        except InvalidDocument as exc:
            raise InvalidDocument(f"Line {number}: {exc}") from None
        yield document


def _lines(source: Iterable[bytes], longest: int) -> Iterator[bytes]:
    readline = getattr(source, "readline", None)
    if readline is None:
        yield from source
        return
    # A file with one endless line must not fill the memory.
    while line := readline(longest):
        yield line


def _to_bytes(source: Any, max_bytes: int) -> bytes:
    if isinstance(source, str):
        if len(source) <= max_bytes:
            source = _encode(source)
    elif isinstance(source, Mapping | list | tuple):
        try:
            source = msgspec.json.encode(dict(source) if isinstance(source, Mapping) else source)
        except RecursionError:
            raise InvalidDocument("The document is nested too deeply.") from None
        except (TypeError, ValueError, OverflowError) as exc:
            raise InvalidDocument(
                f"The document contains a value that JSON cannot represent: {_reason(exc)}."
            ) from None
    elif not isinstance(source, bytes | bytearray):
        raise InvalidDocument(
            f"A document must be JSON text, a mapping or a list, not {shown(source)}."
        )
    if len(source) > max_bytes:
        raise InvalidDocument(
            f"The document is longer than {max_bytes} bytes. Increase max_bytes, or write one "
            "document per line and read them line by line."
        )
    return bytes(source)


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidDocument("The document is not valid Unicode text.") from None


def _reason(exc: Exception) -> str:
    if isinstance(exc, UnicodeError):
        return "it is not valid Unicode text"
    text = str(exc)
    return text if len(text) <= 200 else text[:200] + "..."


def _refuse_deep(data: bytes) -> None:
    # The decoder counts its depth against the interpreter's recursion limit. If a program raised
    # that limit above the stack size, 100,000 brackets would crash the process.
    limit = 10_000
    if sys.getrecursionlimit() <= limit or data.count(b"[") + data.count(b"{") <= limit:
        return
    depth, in_text, escaped = 0, False, False
    for byte in data:
        if in_text:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_text = False
        elif byte == 0x22:
            in_text = True
        elif byte in b"[{":
            depth += 1
            if depth > _MAX_DEPTH:
                raise InvalidDocument("The document is nested too deeply.")
        elif byte in b"]}":
            depth -= 1


def _read_one(data: bytes) -> Document:
    # Nearly all documents have this format. Only the others are examined further.
    document = _try_ours(data)
    if isinstance(document, Exception):
        head = _head.decode(data)
        if head.format is not msgspec.UNSET:
            _check_format(head.format)
            raise document
        document = cinderlib5.read(_anything.decode(data))
    elif document.format != FORMAT:
        _check_format(document.format)
    _check(document)
    return document


def _try_ours(data: bytes) -> Document | Exception:
    """The document, or the error that shows why it is not a document of this version."""
    try:
        return _document.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        return exc


def _check_format(value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidDocument(f"The document's format cannot be {shown(value)}.")
    if value > FORMAT:
        raise InvalidDocument(
            f"The document has format {shown(value)}, and this version of cinderlib reads formats "
            f"up to {FORMAT}. Read it with the version that wrote it, or with a newer one."
        )


def _check(document: Document) -> None:
    backend = document.backend
    name = backend.get(NAME)
    if len(backend) > 1:
        for option, value in backend.items():
            check_text(option, "name of a backend option")
            check_json(value, "options of the backend")
    if isinstance(document, VolumeDocument):
        _check_one(document.volume, name)
        if document.snapshots:
            for snapshot in document.snapshots:
                _check_part(snapshot, document.volume, name)
        if document.connections:
            for connection in document.connections:
                _check_part(connection, document.volume, name)
    elif isinstance(document, BackendDocument):
        check_backend_name(name)
        for volume in document.volumes or ():
            _check_format(volume.format)
            if volume.backend.get(NAME) != name:
                raise InvalidDocument(
                    f"A volume in the document belongs to another backend than {name!r}."
                )
            _check(volume)
    else:
        if document.volume is not None:
            _check_one(document.volume, name)
        _check_part(document.subject, document.volume, name)


def _check_one(record: _Resource, backend: Any) -> None:
    check_record(record)
    if record.backend != backend:  # an equal name was already checked with the record
        check_backend_name(backend)
        raise InvalidDocument(
            f"The {record.kind} {record.id} belongs to backend {record.backend!r}, but the "
            f"document to {backend!r}."
        )


def _check_part(
    record: SnapshotRecord | ConnectionRecord, volume: VolumeRecord | None, backend: Any
) -> None:
    _check_one(record, backend)
    if volume is not None and record.volume_id != volume.id:
        raise InvalidDocument(
            f"The {record.kind} {record.id} belongs to volume {record.volume_id}, but the document "
            f"to {volume.id}."
        )
