"""The records that are stored, serialized and sent between hosts.

A record is plain data: immutable, comparable, without a reference to a driver, a store or another
record (it refers to others by ID). The objects that users hold wrap a record. The store keeps the
records. The driver host receives them and returns changed ones. Times are timezone-aware and in
UTC; sizes are in GiB, as in Cinder.

Do not change nested dicts in place: use :func:`replace`.
"""

from __future__ import annotations

from cinderlib.records.attach_options import AttachOptions
from cinderlib.records.base import Record, new_id, new_id_in_order, now, replace
from cinderlib.records.encoding import check_types, decode, encode, from_builtins, to_builtins
from cinderlib.records.groups import (
    GROUP_KINDS,
    GroupRecord,
    GroupSnapshotRecord,
    name_of_copy,
)
from cinderlib.records.kinds import (
    KINDS,
    SECRETS,
    AnyRecord,
    AppliedStream,
    ConnectionRecord,
    KeyValueRecord,
    SnapshotRecord,
    TypeSpecs,
    VolumeRecord,
)
from cinderlib.records.operations import Author, IntentRecord, OperationRecord, Owner
from cinderlib.records.replication import ReplicationRecord
from cinderlib.records.secret import ENCRYPTED, HIDDEN, Secret, is_encrypted, undecryptable

__all__ = [
    "ENCRYPTED",
    "GROUP_KINDS",
    "HIDDEN",
    "KINDS",
    "SECRETS",
    "AnyRecord",
    "AppliedStream",
    "AttachOptions",
    "Author",
    "ConnectionRecord",
    "GroupRecord",
    "GroupSnapshotRecord",
    "IntentRecord",
    "KeyValueRecord",
    "OperationRecord",
    "Owner",
    "Record",
    "ReplicationRecord",
    "Secret",
    "SnapshotRecord",
    "TypeSpecs",
    "VolumeRecord",
    "check_types",
    "decode",
    "encode",
    "from_builtins",
    "is_encrypted",
    "name_of_copy",
    "new_id",
    "new_id_in_order",
    "now",
    "replace",
    "to_builtins",
    "undecryptable",
]
