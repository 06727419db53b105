"""Reads records of a store in etcd."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from cinderlib.errors import DamagedRecord
from cinderlib.persistence.base import (
    PAGE,
    Query,
    check_where,
    storable,
)
from cinderlib.persistence.checked import CheckedStore, decode_document
from cinderlib.persistence.etcd import messages
from cinderlib.persistence.etcd.changes import Memory, State
from cinderlib.persistence.etcd.client import Client, Compacted
from cinderlib.persistence.etcd.layout import ALL, Layout, Span, place
from cinderlib.persistence.etcd.messages import Answer, KeyValue, Message
from cinderlib.records import Record

R = TypeVar("R", bound=Record)

#: How many records are read with one request.
BATCH = 100


class EtcdReader(CheckedStore):
    """The half of the store that reads.

    All records of a result have the same revision of etcd; :meth:`scan` reads each page at the
    newest one. The states of records are remembered, so that a write does not read them again.
    """

    def __init__(self, client: Client, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        self._memory = Memory()

    def get(self, kind: type[R], id: str) -> R | None:
        if not id or not storable(id):
            return None
        (answer,), _ = self._client.read(messages.get(self._layout.record(kind, id)))
        if not answer.keys:
            return None
        return self._decoded(kind, id, answer.keys[0])

    def _find(
        self, kind: type[R], where: Mapping[str, str], after: R | None, limit: int | None
    ) -> list[R]:
        while True:
            try:
                page = PAGE if limit is None else min(PAGE, limit)
                found = self._found(kind, where, after, page)
                return _readable(itertools.islice(found, limit))
            except Compacted:
                continue  # with a newer revision

    def _scan(
        self, kind: type[R], where: Mapping[str, str], after: R | None, page: int
    ) -> Iterator[R | DamagedRecord]:
        span = self._span(kind, where)
        if after is not None:
            span = self._layout.after(span, after)
        while True:
            # Each page has its own revision: etcd may remove an older one from its history.
            (answer,), revision = self._client.read(index_entries(span, page))
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
            reads.append([index_entries(span, limit or 0) for span in spans])
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

    def _count(self, kind: type[Record], where: Mapping[str, str]) -> int:
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
        span = self._span(kind, where)
        if after is not None:
            span = self._layout.after(span, after)
        revision = 0
        while True:
            (answer,), newest = self._client.read(index_entries(span, page, revision))
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
        record = decode_document(kind, id, found.value)
        self._memory.remember((kind, id), State(record, found.modified))
        return record


def index_entries(span: Span, limit: int, revision: int = 0) -> Message:
    return messages.get(span.start, span.end, limit=limit, revision=revision, keys_only=True)


def _readable(found: Iterable[R | DamagedRecord]) -> list[R]:
    records = list(found)
    for each in records:
        if isinstance(each, DamagedRecord):
            raise each
    return cast("list[R]", records)
