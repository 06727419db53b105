"""The store in etcd."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec

from cinderlib.errors import DamagedRecord, StaleRecord, StoreError, StoreNotFound
from cinderlib.persistence.base import (
    PAGE,
    Change,
    Put,
    Query,
    Store,
    check_keys,
    check_where,
    damaged,
    storable,
)
from cinderlib.persistence.etcd import changes, messages
from cinderlib.persistence.etcd.address import Address, parse
from cinderlib.persistence.etcd.changes import ABSENT, Memory, Name, State
from cinderlib.persistence.etcd.client import Client, Compacted
from cinderlib.persistence.etcd.commit import Committer, Result
from cinderlib.persistence.etcd.layout import ALL, VERSION, Layout, Span, place
from cinderlib.persistence.etcd.locks import EtcdLocks
from cinderlib.persistence.etcd.messages import Answer, KeyValue, Message
from cinderlib.persistence.etcd.sessions import Sessions
from cinderlib.records import Record, decode, now

R = TypeVar("R", bound=Record)

#: How many records are read with one request.
BATCH = 100
#: How many records a transaction has conditions for; to change more, all other writes wait.
CONDITIONS = 50
#: How many index entries are read at once.
ENTRIES = 5000

#: A record, or the error that it cannot be read.
Found = Record | DamagedRecord


class EtcdStore(Store):
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

    def __init__(self, connection: str, *, timeout: float = 30.0, create: bool = True) -> None:
        self._address = address = parse(connection)
        self._client = Client(address, timeout)
        self._layout = Layout(address.prefix)
        self._sessions = Sessions(self._client, self._layout, address.lease)
        self.locks: EtcdLocks = EtcdLocks(self._client, self._layout, self._sessions)
        self._committer = Committer(self._client, self._sessions, self.locks)
        self._memory = Memory()
        try:
            _prepare(self._client, self._layout, create=create)
        except BaseException:
            self._client.close()
            raise

    def __repr__(self) -> str:
        return f"EtcdStore({self._address.display_name!r})"

    # --- reading -------------------------------------------------------------------------------

    def get(self, kind: type[R], id: str) -> R | None:
        if not id or not storable(id):
            return None
        (answer,), _ = self._client.read(messages.get(self._layout.record(kind, id)))
        if not answer.keys:
            return None
        return self._decoded(kind, id, answer.keys[0])

    def find(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        limit: int | None = None,
    ) -> list[R]:
        where = check_where(kind, where)
        if limit is not None and limit <= 0:
            return []
        while True:
            try:
                page = PAGE if limit is None else min(PAGE, limit)
                found = self._found(kind, where, after, page)
                return _readable(itertools.islice(found, limit))
            except Compacted:
                continue  # with a newer revision

    def scan(
        self,
        kind: type[R],
        where: Mapping[str, str] | None = None,
        *,
        after: R | None = None,
        page: int = PAGE,
    ) -> Iterator[R | DamagedRecord]:
        where = check_where(kind, where)
        if not all(storable(value) for value in where.values()):
            return
        span = self._span(kind, where)
        if after is not None:
            span = self._layout.after(span, after)
        while True:
            # Each page has its own revision: etcd may remove an older one from its history.
            (answer,), revision = self._client.read(_entries(span, page))
            entries = [each.key for each in answer.keys]
            try:
                yield from self._matching(kind, where, entries, revision)
            except Compacted:
                continue
            if len(entries) < page:
                return
            span = span._replace(start=entries[-1] + b"\0")

    def query(self, *queries: Query) -> list[list[Any]]:
        if not all(storable(query.value) for query in queries):
            return super().query(*queries)
        while True:
            try:
                return self._query(queries)
            except Compacted:
                continue

    def _query(self, queries: Sequence[Query]) -> list[list[Any]]:
        reads: list[list[Message]] = []
        for kind, field, value, limit, like in queries:
            if field == "id":
                reads.append([messages.get(self._layout.record(kind, value))])
                continue
            check_where(kind, {field: value})
            spans = [self._layout.span(kind, field, value)]
            if like is not None:
                spans = list(self._layout.alike(value, like))
            reads.append([_entries(span, limit or 0) for span in spans])
            if like is not None and storable(like.id):
                reads[-1].append(messages.get(self._layout.record(kind, like.id)))
        answers, revision = self._client.read(*itertools.chain(*reads))
        remaining = iter(answers)
        results: list[list[Any]] = []
        for query, own in zip(queries, reads, strict=True):
            results.append(
                self._result(query, list(itertools.islice(remaining, len(own))), revision)
            )
        return results

    def _result(self, query: Query, answers: list[Answer], revision: int) -> list[Any]:
        kind, field, value, limit, like = query
        if field == "id":
            return [self._decoded(kind, value, found) for found in answers[0].keys]
        if limit is not None and limit <= 0:
            return []
        same_id: list[KeyValue] = (
            answers.pop().keys if like is not None and storable(like.id) else []
        )
        entries = {place(found.key): found.key for answer in answers for found in answer.keys}
        ordered = [entries[each] for each in sorted(entries)]
        found = _readable(self._documents(kind, ordered, revision))
        if like is not None and same_id and like.id not in {each.id for each in found}:
            same = self._decoded(kind, like.id, same_id[0])
            if getattr(same, field) == value:
                found.append(same)
                found.sort(key=lambda record: (record.created_at, record.id))
        return found

    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        where = check_where(kind, where)
        if not all(storable(value) for value in where.values()):
            return 0
        if len(where) > 1:
            return sum(1 for _ in self.scan(kind, where))
        span = self._span(kind, where)
        (answer,), _ = self._client.read(messages.get(span.start, span.end, count_only=True))
        return answer.total

    def _span(self, kind: type[Record], where: Mapping[str, str]) -> Span:
        """The index entries to read for a condition: of the first field after the backend, because
        a backend has most records."""
        if not where:
            return self._layout.span(kind, ALL)
        field = next((f for f in kind.indexed if f in where and f != "backend"), "backend")
        return self._layout.span(kind, field, where[field])

    def _found(
        self, kind: type[R], where: Mapping[str, str], after: R | None, page: int
    ) -> Iterator[R | DamagedRecord]:
        """All records at one revision, read in pages."""
        if not all(storable(value) for value in where.values()):
            return
        span = self._span(kind, where)
        if after is not None:
            span = self._layout.after(span, after)
        revision = 0
        while True:
            (answer,), newest = self._client.read(_entries(span, page, revision))
            revision = revision or newest
            entries = [each.key for each in answer.keys]
            yield from self._matching(kind, where, entries, revision)
            if len(entries) < page:
                return
            span = span._replace(start=entries[-1] + b"\0")

    def _matching(
        self, kind: type[R], where: Mapping[str, str], entries: Sequence[bytes], revision: int
    ) -> Iterator[R | DamagedRecord]:
        for found in self._documents(kind, entries, revision):
            if isinstance(found, DamagedRecord) or all(
                getattr(found, field) == value for field, value in where.items()
            ):
                yield found

    def _documents(
        self, kind: type[R], entries: Sequence[bytes], revision: int
    ) -> Iterator[R | DamagedRecord]:
        """The records of index entries."""
        for at in range(0, len(entries), BATCH):
            ids = [place(entry)[1] for entry in entries[at : at + BATCH]]
            reads = [messages.get(self._layout.record(kind, id), revision=revision) for id in ids]
            answers, _ = self._client.read(*reads)
            for id, answer in zip(ids, answers, strict=True):
                for found in answer.keys:
                    try:
                        yield self._decoded(kind, id, found)
                    except DamagedRecord as exc:
                        yield exc

    def _decoded(self, kind: type[R], id: str, found: KeyValue) -> R:
        record = _decode(kind, id, found.value)
        self._memory.remember((kind, id), State(record, found.modified))
        return record

    # --- writing -------------------------------------------------------------------------------

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
                    states[name] = State(_decode(*name, found.value), found.modified)
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
            (answer,), _ = self._client.read(_entries(span, ENTRIES))
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


def layout_versions(connection: str, *, timeout: float = 30.0) -> tuple[int | None, int]:
    """The version of the layout of a store, None if it does not exist, and the version after the
    store was opened.

    :param connection: as of :class:`EtcdStore`.
    :param timeout: as of :class:`EtcdStore`.
    :raises InvalidPersistence, MissingDependency, StoreError: as of :class:`EtcdStore`.
    """
    address: Address = parse(connection)
    client = Client(address, timeout)
    try:
        found = _layout_version(client, Layout(address.prefix))
    finally:
        client.close()
    return found, max(found or 0, VERSION)


def _layout_version(client: Client, layout: Layout) -> int | None:
    (answer,), _ = client.read(messages.get(layout.version))
    try:
        return int(answer.keys[0].value) if answer.keys else None
    except ValueError:
        raise StoreError(
            f"The store {client} cannot be opened: its prefix is used by another program.",
            retryable=False,
        ) from None


def _prepare(client: Client, layout: Layout, *, create: bool) -> None:
    """Create a store, and check the version of an existing one."""
    version = _layout_version(client, layout)
    if version is None:
        if not create:
            raise StoreNotFound(f"The store {client} does not exist yet.")
        absent = messages.modified_is(layout.version, 0)
        client.transaction([absent], [messages.put(layout.version, b"%d" % VERSION)], [])
    elif version > VERSION:
        raise StoreError(
            f"The store {client} was written by a newer version of cinderlib (layout {version})."
            f" This version supports layout {VERSION}. Upgrade cinderlib on this host.",
            retryable=False,
        )


def _entries(span: Span, limit: int, revision: int = 0) -> Message:
    return messages.get(span.start, span.end, limit=limit, revision=revision, keys_only=True)


def _readable(found: Iterable[R | DamagedRecord]) -> list[R]:
    records = list(found)
    for each in records:
        if isinstance(each, DamagedRecord):
            raise each
    return cast("list[R]", records)


def _decode(kind: type[R], id: str, document: bytes) -> R:
    try:
        record = decode(kind, document)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        # The document may contain secrets.
        raise damaged(kind, id, "its document is damaged") from None
    if record.id != id:
        raise damaged(kind, id, "it is the document of another record")
    return record
