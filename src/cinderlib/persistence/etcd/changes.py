"""The changes of a call of ``apply``, computed from the records that etcd has."""

from __future__ import annotations

import collections
import datetime
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cinderlib.persistence.base import Change, Put, damaged, moment, not_json, stale
from cinderlib.persistence.etcd import forks, messages
from cinderlib.persistence.etcd.layout import Layout
from cinderlib.persistence.etcd.messages import Message
from cinderlib.records import Record, encode, replace

#: A kind of record and an ID.
Name = tuple[type[Record], str]

#: How many records are remembered: those between the first and the last write of an operation.
REMEMBERED = 1024


class State(NamedTuple):
    """A record in etcd.

    :ivar record: None if it does not exist, or cannot be read.
    :ivar modified: the revision that wrote it last; 0 if it does not exist.
    :ivar entries: the index entries of a record that cannot be read.
    """

    record: Record | None
    modified: int
    entries: frozenset[bytes] = frozenset()

    @property
    def is_damaged(self) -> bool:
        """Whether it exists and cannot be read."""
        return self.record is None and self.modified > 0


ABSENT = State(None, 0)


def names(changes: Iterable[Change]) -> list[Name]:
    """The changed records, each once."""
    return list(dict.fromkeys(name(change) for change in changes))


def name(change: Change) -> Name:
    """The record that is changed."""
    if isinstance(change, Put):
        return type(change.record), change.record.id
    return change.kind, change.id


def applied(
    changes: Sequence[Change], states: Mapping[Name, State], time: datetime.datetime
) -> tuple[list[Record], dict[Name, Record | None]]:
    """The written records in the order of the changes, and the records after all changes.

    :raises StaleRecord: a version is not the expected one.
    :raises DamagedRecord: a version cannot be compared, because the record cannot be read.
    """
    written: list[Record] = []
    after: dict[Name, Record | None] = {}
    for number, change in enumerate(changes):
        kind, id = which = name(change)
        state = states[which]
        old = after.get(which, state.record)
        checked = change.check if isinstance(change, Put) else change.version is not None
        if checked and which not in after and state.is_damaged:
            raise damaged(kind, id, "its document is damaged")
        version = old.version if old else 0
        if isinstance(change, Put):
            if change.check and change.record.version != version:
                raise stale(change, version or None)
            at = moment(time, number)
            created = change.record.created_at or (old.created_at if old else None) or at
            after[which] = new = replace(
                change.record, version=version + 1, created_at=created, updated_at=at
            )
            written.append(new)
        else:
            if change.version is not None and change.version != version:
                raise stale(change, version or None)
            after[which] = None
    return written, after


def operations(
    layout: Layout, states: Mapping[Name, State], after: Mapping[Name, Record | None]
) -> list[Message]:
    """etcd's operations that lead from one state to another.

    :raises InvalidInput: a record contains a value that JSON cannot represent.
    """
    found: list[Message] = []
    for (kind, id), record in after.items():
        state = states[kind, id]
        old = state.entries if state.record is None else layout.entries(state.record)
        new = set() if record is None else layout.entries(record)
        if record is not None:
            found.append(messages.put(layout.record(kind, id), document(record)))
        elif state is not ABSENT and state.modified:
            found.append(messages.delete(layout.record(kind, id)))
        found += [messages.delete(entry) for entry in sorted(old - new)]
        found += [messages.put(entry, b"") for entry in sorted(new - old)]
    return found


def document(record: Record) -> bytes:
    """A record in its stored form.

    :raises InvalidInput: it contains a value that JSON cannot represent.
    """
    try:
        return encode(record)
    except (UnicodeEncodeError, NotImplementedError, TypeError) as exc:
        raise not_json(record, exc) from None


class Memory:
    """The records that this process read or wrote last, so that an operation does not read what it
    wrote. If another process changed one of them, etcd reports it when it is written."""

    def __init__(self) -> None:
        self._states: collections.OrderedDict[Name, State] = collections.OrderedDict()
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """In a child process: another thread of the parent may have held the lock."""
        self._guard = threading.Lock()

    def remember(self, name: Name, state: State) -> None:
        """Remember a record; one that does not exist is forgotten."""
        with self._guard:
            there = self._states.pop(name, None)
            if there is not None and there.modified > state.modified and state.modified:
                state = there
            if state.record is not None:
                self._states[name] = state
            if len(self._states) > REMEMBERED:
                self._states.popitem(last=False)

    def expected(self, change: Change) -> State | None:
        """The state before a change, if it is known."""
        with self._guard:
            state = self._states.get(name(change))
        if isinstance(change, Put) and change.check:
            if not change.record.version:
                return ABSENT
            if state is not None and state.record is not None:
                return state if state.record.version == change.record.version else None
            return None
        return state
