"""The store in etcd."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from cinderlib.errors import DamagedRecord, StaleRecord, StoreError
from cinderlib.persistence.base import (
    Change,
    Put,
    check_keys,
    storable,
)
from cinderlib.persistence.checked import decode_document
from cinderlib.persistence.etcd import changes, messages
from cinderlib.persistence.etcd.address import parse
from cinderlib.persistence.etcd.changes import ABSENT, Name, State
from cinderlib.persistence.etcd.client import Client
from cinderlib.persistence.etcd.commit import Committer, Result
from cinderlib.persistence.etcd.layout import Layout, Span, place
from cinderlib.persistence.etcd.locks import EtcdLocks
from cinderlib.persistence.etcd.messages import Answer
from cinderlib.persistence.etcd.reading import BATCH, EtcdReader, index_entries
from cinderlib.persistence.etcd.sessions import Sessions
from cinderlib.persistence.etcd.versions import prepare
from cinderlib.records import Record, now

#: How many records a transaction has conditions for; to change more, all other writes wait.
CONDITIONS = 50
#: How many index entries are read at once.
ENTRIES = 5000


class EtcdStore(EtcdReader):
    """Records in an etcd cluster that any number of processes on many hosts share.

    :param connection: ``etcd://user:password@host:2379,host2:2379/prefix``, with the parameters
        ``ca``, ``cert`` and ``key`` for TLS, and ``lease``.
    :param timeout: seconds after which a request without an answer is given up.
    :param create: whether a store that does not exist is created.
    :raises InvalidPersistence: ``connection`` is not valid.
    :raises StoreNotFound: the store does not exist, and ``create`` is false.
    :raises MissingDependency: the Python package ``etcd3gw`` is not installed.
    :raises StoreError: the cluster cannot be reached, or a newer version of the library wrote the
        store.
    """

    keeps_history = True

    def __init__(self, connection: str, *, timeout: float = 30.0, create: bool = True) -> None:
        self._address = address = parse(connection)
        super().__init__(Client(address, timeout), Layout(address.prefix))
        self._sessions = Sessions(self._client, self._layout, address.lease)
        self.locks: EtcdLocks = EtcdLocks(self._client, self._layout, self._sessions)
        self._committer = Committer(self._client, self._sessions, self.locks)
        try:
            prepare(self._client, self._layout, create=create)
        except BaseException:
            self._client.close()
            raise

    def __repr__(self) -> str:
        return f"EtcdStore({self._address.display_name!r})"

    def apply(self, *changes_: Change) -> tuple[Record, ...]:
        for change in changes_:
            if isinstance(change, Put):
                check_keys(change.record)
        # A record with an ID that cannot be stored does not exist.
        given = [each for each in changes_ if isinstance(each, Put) or storable(each.id)]
        impossible = [each for each in changes_ if not isinstance(each, Put) and each not in given]
        for change in impossible:
            if change.version is not None:
                changes.applied([change], {changes.name(change): ABSENT}, now())
        if not given:
            return ()
        names = changes.names(given)
        if len(names) > CONDITIONS:
            with self.locks.everything(time.monotonic() + self._client.timeout):
                return self._apply(given, self._states(names), fresh=True)
        states: dict[Name, State] = {}
        for change in given:
            expected = self._memory.expected(change)
            if expected is not None:
                states.setdefault(changes.name(change), expected)
        missing = [name for name in names if name not in states]
        states |= self._states(missing)
        return self._apply(given, states, fresh=len(missing) == len(names))

    def _apply(
        self, given: Sequence[Change], states: dict[Name, State], *, fresh: bool
    ) -> tuple[Record, ...]:
        """Write changes.

        :param fresh: whether the states were just read.
        """
        deadline = time.monotonic() + self._client.timeout
        while True:
            try:
                written, after = changes.applied(given, states, now())
            except (StaleRecord, DamagedRecord):
                if fresh:
                    raise
                states, fresh = self._states(list(states)), True
                continue
            found = self._commit(states, after)
            if found is None:
                return tuple(written)
            states, fresh = found, True
            if time.monotonic() > deadline:
                raise StoreError(
                    f"The store {self._client} failed: other writers were always faster. Nothing"
                    " was written."
                )

    def _commit(
        self, states: Mapping[Name, State], after: Mapping[Name, Record | None]
    ) -> dict[Name, State] | None:
        """Write records. Returns their states if one of them differs from ``states``."""
        keys = {name: self._layout.record(*name) for name in states}
        alone = len(states) > CONDITIONS
        result: Result = self._committer.commit(
            [] if alone else [messages.modified_is(keys[n], states[n].modified) for n in states],
            changes.operations(self._layout, states, after),
            [] if alone else [messages.get(keys[name]) for name in states],
        )
        if result.revision:
            for name, record in after.items():
                self._memory.remember(name, State(record, result.revision if record else 0))
            return None
        return self._of_answers(list(states), result.found)

    def _states(self, names: Sequence[Name]) -> dict[Name, State]:
        states: dict[Name, State] = {}
        for at in range(0, len(names), BATCH):
            some = names[at : at + BATCH]
            answers, _ = self._client.read(*[messages.get(self._layout.record(*n)) for n in some])
            states |= self._of_answers(some, answers)
        return states

    def _of_answers(self, names: Sequence[Name], answers: Iterable[Answer]) -> dict[Name, State]:
        states: dict[Name, State] = {}
        for name, answer in zip(names, answers, strict=True):
            states[name] = ABSENT
            for found in answer.keys:
                try:
                    states[name] = State(decode_document(*name, found.value), found.modified)
                except DamagedRecord:
                    states[name] = State(None, found.modified, self._entries_of(*name))
            self._memory.remember(name, states[name])
        return states

    def _entries_of(self, kind: type[Record], id: str) -> frozenset[bytes]:
        """The index entries of a record that cannot be read: only its ID is known."""
        start = self._layout.indexes(kind)
        span = Span(start, messages.end_of(start), None)
        found: set[bytes] = set()
        while True:
            (answer,), _ = self._client.read(index_entries(span, ENTRIES))
            found.update(each.key for each in answer.keys if place(each.key)[1] == id)
            if len(answer.keys) < ENTRIES:
                return frozenset(found)
            span = span._replace(start=answer.keys[-1].key + b"\0")

    def rewrite(self, records: Sequence[Record]) -> list[Record]:
        """Write records again; ``version`` and ``updated_at`` do not change."""
        left: list[Record] = []
        for at in range(0, len(records), CONDITIONS):
            todo = {(type(each), each.id): each for each in records[at : at + CONDITIONS]}
            states: dict[Name, State] | None = self._states(list(todo))
            while states is not None:
                for name, state in states.items():
                    there = state.record
                    if there is None or there.version != todo[name].version:
                        left.append(todo.pop(name))
                states = {name: states[name] for name in todo}
                states = self._commit(states, todo) if todo else None
        return left

    def close(self) -> None:
        self._sessions.close()
        self._client.close()
