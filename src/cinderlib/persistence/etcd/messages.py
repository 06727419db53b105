"""The requests and responses of etcd's JSON interface, as plain values."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

#: Part of a request.
Message = dict[str, Any]

#: etcd accepts 128 operations in a transaction, those of a transaction inside it included. With so
#: many on each of three levels, there is room for the conditions of the outer one.
FAN = 40


class KeyValue(NamedTuple):
    """A key as etcd returns it.

    :ivar created: the revision of the store that created it.
    :ivar modified: the revision that wrote it last.
    :ivar lease: ID of the lease that it belongs to; 0 if it has no lease.
    """

    key: bytes
    value: bytes
    created: int
    modified: int
    lease: int


class Answer(NamedTuple):
    """The response to a read.

    :ivar total: how many keys the range has, also if fewer are returned.
    """

    keys: list[KeyValue]
    total: int


def end_of(prefix: bytes) -> bytes:
    """The key after all that start with a prefix, which does not end with 0xff."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def get(
    key: bytes,
    end: bytes | None = None,
    *,
    limit: int = 0,
    revision: int = 0,
    keys_only: bool = False,
    count_only: bool = False,
) -> Message:
    """Read a key, or those from ``key`` to before ``end``, in their order.

    :param revision: of the store; 0 for the newest.
    """
    body: Message = {"key": _text(key)}
    if end is not None:
        body["range_end"] = _text(end)
    if limit:
        body["limit"] = limit
    if revision:
        body["revision"] = revision
    if keys_only:
        body["keys_only"] = True
    if count_only:
        body["count_only"] = True
    return {"request_range": body}


def put(key: bytes, value: bytes, lease: int = 0) -> Message:
    """Write a key."""
    body: Message = {"key": _text(key), "value": _text(value)}
    if lease:
        body["lease"] = lease
    return {"request_put": body}


def delete(key: bytes) -> Message:
    """Delete a key."""
    return {"request_delete_range": {"key": _text(key)}}


def modified_is(key: bytes, revision: int) -> Message:
    """The condition that a key was last written by this revision; 0: that it does not exist."""
    return _compare(key, "MOD", {"mod_revision": revision})


def created_is(key: bytes, revision: int) -> Message:
    """The condition that a key has existed since this revision."""
    return _compare(key, "CREATE", {"create_revision": revision})


def none_with(prefix: bytes) -> Message:
    """The condition that no key starts with this prefix."""
    end = {"range_end": _text(end_of(prefix))}
    return _compare(prefix, "CREATE", {"create_revision": 0}) | end


def _compare(key: bytes, target: str, value: Message) -> Message:
    return {"key": _text(key), "target": target, "result": "EQUAL", **value}


def nested(operations: Sequence[Message]) -> Sequence[Message]:
    """The same operations, in transactions inside the transaction if they are many."""
    while len(operations) > FAN:
        operations = [
            {"request_txn": {"success": list(operations[at : at + FAN])}}
            for at in range(0, len(operations), FAN)
        ]
    return operations


def answer(response: Mapping[str, Any]) -> Answer:
    """The response to :func:`get`."""
    keys = [
        KeyValue(
            base64.b64decode(found["key"]),
            base64.b64decode(found.get("value", "")),
            int(found["create_revision"]),
            int(found["mod_revision"]),
            int(found.get("lease", 0)),
        )
        for found in response.get("kvs", ())
    ]
    return Answer(keys, int(response.get("count", 0)))


def answers(responses: Iterable[Mapping[str, Any]]) -> list[Answer]:
    """The responses to the reads of a transaction, in their order."""
    return [
        answer(response["response_range"]) for response in responses if "response_range" in response
    ]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
