"""Converts records to versioned JSON documents and back; also reads cinderlib 5's JSON.

It works on records only: no objects, no store, no driver. :mod:`.documents` defines the format.
"""

from cinderlib.serialization.documents import (
    FORMAT,
    BackendDocument,
    ConnectionDocument,
    Document,
    SnapshotDocument,
    VolumeDocument,
    backend_document,
    connection_document,
    records_of,
    snapshot_document,
    to_builtins,
    to_dict,
    to_line,
    to_text,
    volume_document,
    wire,
)
from cinderlib.serialization.reader import MAX_BYTES, read, read_again, read_lines
from cinderlib.serialization.rules import check_record

__all__ = [
    "FORMAT",
    "MAX_BYTES",
    "BackendDocument",
    "ConnectionDocument",
    "Document",
    "SnapshotDocument",
    "VolumeDocument",
    "backend_document",
    "check_record",
    "connection_document",
    "read",
    "read_again",
    "read_lines",
    "records_of",
    "snapshot_document",
    "to_builtins",
    "to_dict",
    "to_line",
    "to_text",
    "volume_document",
    "wire",
]
