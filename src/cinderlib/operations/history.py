"""The history: operations with their users, times and outcomes.

An ended operation is a record of the store, which is written in the transaction that removes its
intent, so it costs no further commit. An operation that has not ended is an intent. So every
operation is in the history from its beginning, and none is recorded as done before it is.
"""

from __future__ import annotations

import datetime
import itertools
import logging
import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from cinderlib import author, drivers, errors
from cinderlib.operations.intents import name_and_volume, recorded
from cinderlib.persistence.base import Change, Put, Remove, Store
from cinderlib.records import (
    Author,
    IntentRecord,
    OperationRecord,
    Record,
    new_id_in_order,
    now,
    replace,
)

LOG = logging.getLogger(__name__)
#: For operations that were interrupted and are settled. A program that logs the operations which it
#: executes, as the service does, disables only the other logger.
SETTLED = logging.getLogger(f"{__name__}.settled")

#: Unmaps that the driver could not execute. They do not block other operations. They are retried by
#: the next operation on the volume, by recovery and by reconciliation.
PENDING_UNMAPS = frozenset({"connection.unmap"})

#: How many ended operations a store keeps by default.
DEFAULT_LIMIT = 10_000
#: After how many operations of a process old records are removed, and how many at most: an etcd
#: transaction must be small.
_TRIM_EVERY, _TRIM_AT_MOST = 16, 32
#: After how many removals the records are counted again, because that takes as long as some
#: operations. Other processes also write records, and remove as many.
_COUNT_EVERY = 64
#: How many operations of a thread are measured at once: those that could not be recorded stay.
_UNFINISHED = 64
#: The longest text of an error in a record, in characters.
_LONGEST = 1000

#: The argument of an operation on several resources that has their IDs.
IDS = "ids"

#: How an operation ended: a recovery finishes or undoes one that was interrupted.
Outcome = Literal["done", "failed", "finished", "undone"]


class Start(NamedTuple):
    """The start of an operation.

    :ivar clock: of ``time.perf_counter``.
    :ivar driver: the time for which drivers had worked for the thread, in seconds.
    """

    at: datetime.datetime
    clock: float
    driver: float


class History:
    """Writes the history of a store.

    :param limit: how many ended operations the store keeps; with 0, none are recorded.
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self.limit = limit if store.keeps_history else 0
        self._mine = threading.local()
        # Processes that execute one operation each also remove old records.
        self._until_trim = random.randrange(_TRIM_EVERY)  # noqa: S311
        self._known, self._until_count = 0, 0

    def begin(self, intent: IntentRecord) -> None:
        """Measure an operation from now on."""
        starts = self._starts
        if len(starts) >= _UNFINISHED:
            del starts[next(iter(starts))]
        starts[intent.id] = Start(now(), time.perf_counter(), drivers.observed.seconds())

    def continue_as(self, intent: IntentRecord, later: IntentRecord) -> None:
        """Measure a compound operation from the beginning of the first step."""
        start = self._starts.pop(intent.id, None)
        if start is not None:
            self._starts[later.id] = start

    def forget(self, intent: IntentRecord) -> None:
        """End the measurement of an operation, whose intent stays in the store."""
        self._starts.pop(intent.id, None)

    @property
    def _starts(self) -> dict[str, Start]:
        mine: dict[str, dict[str, Start]] = self._mine.__dict__
        return mine.setdefault("starts", {})

    def ended(
        self, intent: IntentRecord, outcome: Outcome, *, recovering: bool, name: str = ""
    ) -> list[Change]:
        """The changes that record the end of an operation, for the transaction with its result.

        :param recovering: whether it was interrupted and is settled now.
        :param name: of the resource, if the intent does not have it.
        """
        if not self.limit:
            return []
        record = self._ended(intent, outcome, recovering=recovering, name=name)
        return [Put(record), *self._trimmed()]

    def noted(
        self, operation: str, record: Record, arguments: Mapping[str, Any] | None
    ) -> list[Change]:
        """The changes that record an operation which only writes the store, for the transaction
        that is this operation."""
        if not self.limit:
            return []
        return [Put(_noted(operation, record, arguments)), *self._trimmed()]

    def noted_all(self, operation: str, records: Sequence[Record]) -> list[Change]:
        """The same for many operations in one transaction: one record for each backend. A record
        for each of them would fill the history, and take as long as they do."""
        if not self.limit:
            return []
        together: dict[str, list[Record]] = {}
        for record in records:
            together.setdefault(getattr(record, "backend", ""), []).append(record)
        new = [_noted_together(operation, found) for found in together.values()][-self.limit :]
        excess = self._store.count(OperationRecord) + len(new) - self.limit
        self._until_count = 0
        removed = self._oldest(excess, page=excess) if excess > 0 else ()
        return [*map(Put, new), *removed]

    def _ended(
        self, intent: IntentRecord, outcome: Outcome, *, recovering: bool, name: str = ""
    ) -> OperationRecord:
        start = self._starts.get(intent.id)
        end = now()
        if start is None or recovering:
            at = intent.created_at or end
            seconds = max(0.0, (end - at).total_seconds())
            driver = 0.0 if start is None else drivers.observed.seconds() - start.driver
        else:
            at = start.at
            seconds = time.perf_counter() - start.clock
            driver = drivers.observed.seconds() - start.driver
        owner = intent.owner
        return OperationRecord(
            id=new_id_in_order(),
            operation=intent.operation,
            backend=intent.backend,
            resource_id=intent.resource_id,
            volume_id=intent.volume_id,
            name=intent.name or name,
            author=intent.author or Author(user="", host=owner.host, pid=owner.pid),
            arguments=intent.arguments,
            started_at=at,
            seconds=round(seconds, 6),
            driver_seconds=round(driver, 6),
            outcome=outcome,
            error=_current_error() if outcome == "failed" else "",
            recovered_by=author.current() if recovering else None,
        )

    def _trimmed(self) -> Iterable[Change]:
        """Remove the oldest records if there are too many."""
        if self._until_trim > 0:
            self._until_trim -= 1
            return
        self._until_trim = _TRIM_EVERY - 1
        try:
            excess = self._count() - self.limit
            if excess > 0:
                yield from self._oldest(min(excess, _TRIM_AT_MOST), page=_TRIM_AT_MOST)
        except errors.CinderlibError as exc:
            LOG.warning("Old records of the history could not be removed: %s", exc)

    def _oldest(self, count: int, *, page: int) -> Iterator[Change]:
        """Remove the oldest records.

        :param page: the number of records to read at a time.
        """
        for found in itertools.islice(self._store.scan(OperationRecord, page=page), count):
            id = found.resource if isinstance(found, errors.DamagedRecord) else found.id
            self._known -= 1
            yield Remove(OperationRecord, str(id))

    def _count(self) -> int:
        """The approximate number of records, with the new one."""
        if self._until_count > 0:
            self._until_count -= 1
            self._known += _TRIM_EVERY
        else:
            self._until_count = _COUNT_EVERY - 1
            self._known = self._store.count(OperationRecord) + 1
        return self._known


def _noted(operation: str, record: Record, arguments: Mapping[str, Any] | None) -> OperationRecord:
    """An operation without a duration."""
    name, volume_id = name_and_volume(record)
    return OperationRecord(
        id=new_id_in_order(),
        operation=operation,
        backend=getattr(record, "backend", ""),
        resource_id=record.id,
        volume_id=volume_id,
        name=name,
        author=author.current(),
        arguments=recorded(arguments),
        started_at=now(),
        seconds=0.0,
    )


def _noted_together(operation: str, records: Sequence[Record]) -> OperationRecord:
    """The operation on one record, or on several records of one kind and backend."""
    first = _noted(operation, records[0], None)
    if len(records) == 1:
        return first
    name = f"{len(records)} {records[0].kind}s"
    ids = {IDS: [record.id for record in records]}
    return replace(first, resource_id="", volume_id=None, name=name, arguments=ids)


def log(record: OperationRecord) -> None:
    """Log the end of an operation: one line."""
    logger = LOG if record.recovered_by is None else SETTLED
    if not logger.isEnabledFor(logging.INFO):
        return
    logger.info(
        "%s of %s: %s after %.3f s, %.3f s of it in the driver%s",
        record.operation,
        label(record.name, record.resource_id),
        record.outcome,
        record.seconds,
        record.driver_seconds,
        f": {record.error}" if record.error else "",
    )


def label(name: str, id: str) -> str:
    """The name of a resource with its short ID; of several resources, their number."""
    return f"{name} ({id[:8]})" if name and id else name or id


def _current_error() -> str:
    """The text of the exception that is handled now."""
    error = sys.exception()
    if error is None:
        return ""
    text = str(error) if isinstance(error, errors.CinderlibError) else type(error).__name__
    return author.storable(text)[:_LONGEST]
