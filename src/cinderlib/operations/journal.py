"""The intent log: operations can be interrupted by a crash after any step.

An operation writes an intent together with the resource's transitional status, works, and removes
the intent in the same transaction that writes the result. So an intent in the store belongs either
to an operation that runs now, and holds the resource's lock, or to one that was interrupted: by a
crash, or by a store that failed to record the result. A caller that holds the lock and finds an
interrupted operation calls the function that is registered for it with :func:`recovers`.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from cinderlib import errors
from cinderlib.keys import VolumeKeys
from cinderlib.locking.locks import Locks
from cinderlib.observation import Observer
from cinderlib.operations import history, replication
from cinderlib.operations.concurrent_changes import ATTEMPTS, differences, write_changes
from cinderlib.operations.history import History, Outcome
from cinderlib.operations.host import Host
from cinderlib.operations.intents import new_intent
from cinderlib.operations.settling import Settling
from cinderlib.persistence.base import Change, Put, Remove, Store
from cinderlib.progress import Listener
from cinderlib.records import (
    IntentRecord,
    OperationRecord,
    Record,
    VolumeRecord,
    replace,
)

if TYPE_CHECKING:
    from cinderlib.drivers.port import Driver
    from cinderlib.drivers.port_values import DriverInfo

LOG = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

#: In the data of the intent of an interrupted operation that a later call continues.
CONTINUED = "continued"


@dataclasses.dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery did with one interrupted operation.

    :ivar outcome: ``'finished'``, ``'undone'``, ``'failed'`` or ``'skipped'``.
    :ivar reason: why it failed or was skipped.
    """

    operation: str
    backend: str
    resource_id: str
    outcome: str
    reason: str = ""


class Ending(TypedDict, total=False):
    """How an operation ends, for the history.

    :ivar outcome: by default ``'done'``, which is recorded as ``'finished'`` for an operation that
        is recovered.
    :ivar continued_as: the intent of the compound operation of which this is a step. The history
        has only that operation.
    """

    outcome: Outcome
    continued_as: IntentRecord | None


class Journal(Settling):
    """What every operation works with: the store, its locks, the drivers, this host.

    :param keys: the places for the keys of encrypted volumes.
    :param driver: returns the driver of a backend by its name, or raises ``BackendNotFound``.
    :param host: attaches and detaches on this host.
    :param tell: receives the progress of a recovery.
    :param observer: receives the recovery of each interrupted operation.
    :param history_limit: how many ended operations the store keeps.
    :param used_driver: returns the information about the driver that this thread received for an
        operation on a backend with replication, or ``None``.
    """

    def __init__(
        self,
        store: Store,
        locks: Locks,
        keys: VolumeKeys,
        driver: Callable[[str], Driver],
        host: Host,
        tell: Listener,
        observer: Observer | None = None,
        history_limit: int = history.DEFAULT_LIMIT,
        used_driver: Callable[[str], DriverInfo | None] = lambda backend: None,
    ) -> None:
        self.store = store
        self.locks = locks
        self.keys = keys
        self.driver = driver
        self.host = host
        self.tell = tell
        self.observer = observer
        self._used_driver = used_driver
        self._history = History(store, history_limit)
        self._mine = threading.local()

    def is_loaded(self, backend: str) -> bool:
        """Whether the driver of a backend can be used."""
        try:
            self.driver(backend)
        except errors.CinderlibError:
            return False
        return True

    @property
    def is_recovering(self) -> bool:
        """Whether this thread settles an interrupted operation."""
        return getattr(self._mine, "recovering", None) is not None

    def begin(
        self,
        operation: str,
        lock: str,
        record: R,
        *others: Change,
        before: R | None = None,
        data: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        volume: VolumeRecord | None = None,
    ) -> tuple[IntentRecord, R]:
        """Record the start of an operation, and the record in its transitional state.

        :param lock: the name of the lock that is held for it.
        :param others: changes to store in the same transaction.
        :param before: the record as it was read, if others may write it without the lock, as
            ``save()`` does: their changes are preserved.
        :param data: what recovery needs.
        :param arguments: for the history, without secrets.
        :param volume: the volume of a connection, for the history.
        :raises StoreError: the intent is not recorded; the operation must not continue.
        :raises Busy, InvalidState: the replication of the backend does not allow it now.
        """
        name = "" if volume is None else volume.name
        intent = new_intent(operation, record, lock, data=data, arguments=arguments, name=name)
        return intent, self.begin_with(intent, record, *others, before=before)

    def begin_with(
        self, intent: IntentRecord, record: R, *others: Change, before: R | None = None
    ) -> R:
        """The same, with the caller's intent, which replaces an existing one with the same ID."""
        used = self._used_driver(intent.backend)
        if used is not None:
            replication.admit(self.store, used, intent, record)
        self._history.begin(intent)
        asked = record
        for attempt in range(ATTEMPTS):
            try:
                written = self.store.apply(Put(intent, check=not attempt), Put(record), *others)
                break
            except errors.StaleRecord:
                current = self.store.get(type(record), record.id)
                if before is None or current is None or attempt == ATTEMPTS - 1:
                    raise
                record = replace(current, **differences(before, asked))
        return written[1]  # type: ignore[return-value]

    def finish(
        self,
        intent: IntentRecord,
        done: str,
        *changes: Change,
        **ending: Unpack[Ending],
    ) -> tuple[Record, ...]:
        """Record the result and remove the intent.

        :param done: the completed step, for the error if it cannot be recorded.
        """
        continued_as = ending.get("continued_as")
        if continued_as is None:
            ended = self.ended(intent, ending.get("outcome", "done"))
        else:
            ended = (Remove(IntentRecord, intent.id),)
        try:
            written = self.write(*changes, *ended)
        except errors.StaleRecord:
            raise
        except errors.StoreError as exc:
            raise errors.StoreError(
                f"{done}, but the store could not record it: {exc}. No data is lost: the intent is"
                " in the store. Repeat the call, or call recover()",
                resource=intent.resource_id,
            ) from exc
        if continued_as is None:
            self._history.forget(intent)
        else:
            self._history.continue_as(intent, continued_as)
        return written

    def ended(
        self,
        intent: IntentRecord,
        outcome: Outcome = "done",
        *,
        name: str = "",
        is_replaced: bool = False,
    ) -> tuple[Change, ...]:
        """The changes at the end of an operation: they remove its intent and write its record in
        the history.

        :param name: of the resource, if the intent does not have it.
        :param is_replaced: whether the same transaction replaces the intent instead.
        """
        recovering = getattr(self._mine, "recovering", None) == intent.id
        recovering = recovering or CONTINUED in intent.data
        if recovering and outcome == "done":
            outcome = "finished"
        recovering = recovering or outcome in ("finished", "undone")
        record = self._history.ended(intent, outcome, recovering=recovering, name=name)
        return tuple(record) if is_replaced else (Remove(IntentRecord, intent.id), *record)

    def noted(
        self, operation: str, record: Record, arguments: Mapping[str, Any] | None = None
    ) -> list[Change]:
        """The changes that record an operation which only writes the store, for the transaction
        that is this operation.

        :param record: its state before.
        :param arguments: without secrets.
        """
        return self._history.noted(operation, record, arguments)

    def noted_all(self, operation: str, records: Sequence[Record]) -> list[Change]:
        """The changes that record one such operation for each record, if there are many."""
        return self._history.noted_all(operation, records)

    def write(self, *changes: Change) -> tuple[Record, ...]:
        """Apply changes, and log the operations that end with them."""
        written = self.store.apply(*changes)
        for record in written:
            if isinstance(record, OperationRecord):
                history.log(record)
        return written

    def finish_with(
        self,
        intent: IntentRecord,
        done: str,
        before: R,
        after: R,
        *others: Change,
        **ending: Unpack[Ending],
    ) -> R:
        """Record an operation's changes to a record, on top of concurrent changes.

        :param others: changes to store in the same transaction; their records are exclusive.
        :returns: the written record.
        """
        written = self.finish_with_records(intent, done, before, after, *others, **ending)
        return written[0]  # type: ignore[return-value]

    def finish_with_records(
        self,
        intent: IntentRecord,
        done: str,
        before: R,
        after: R,
        *others: Change,
        **ending: Unpack[Ending],
    ) -> tuple[Record, ...]:
        """The same.

        :returns: also the written records of ``others``.
        """
        return write_changes(
            self.store,
            before,
            after,
            lambda record: self.finish(intent, done, Put(record), *others, **ending),
        )

    def keep(
        self,
        before: R,
        after: R,
        noted: Callable[[], list[Change]] = list,
    ) -> R:
        """Record a step's changes to a record while its operation continues, so the driver can read
        them from its database.

        :param noted: returns the changes that record an operation which consists of these changes.
        :returns: the stored record.
        """
        if not differences(before, after):
            return after
        written = write_changes(
            self.store, before, after, lambda record: self.write(Put(record), *noted())
        )
        return written[0]  # type: ignore[return-value]

    def fail(self, intent: IntentRecord, before: R, after: R, *others: Change) -> None:
        """Record a failure while its exception is handled. If the store fails too, that is only
        logged, because the intent stays in the store. The intent also stays if the operation was
        interrupted by Control-C, a signal handler or the end of the driver's process: it is
        recovered later."""
        if was_interrupted():
            LOG.info("%s of %s was interrupted", intent.operation, intent.resource_id)
            return
        try:
            self.finish_with(intent, "It failed", before, after, *others, outcome="failed")
        except errors.StoreError as exc:
            LOG.warning("%s of %s failed: %s", intent.operation, intent.resource_id, exc)

    def discard(self, intent: IntentRecord, *changes: Change) -> None:
        """Remove the intent of a failed operation that leaves no record, while its exception is
        handled; compare :meth:`fail`."""
        if was_interrupted():
            return
        try:
            self.finish(intent, "It failed", *changes, outcome="failed")
        except errors.StoreError as exc:
            LOG.warning("%s of %s failed: %s", intent.operation, intent.resource_id, exc)

    def measure(self, intent: IntentRecord) -> None:
        """Measure the time of an operation from now on, for the history."""
        self._history.begin(intent)


def was_interrupted(error: BaseException | None = None) -> bool:
    """Whether the operation ended without a result: its intent stays, and is settled as after a
    crash.

    :param error: the error that ended it; by default the current exception.
    """
    error = error or sys.exception()
    if isinstance(error, errors.DriverInterrupted):
        return True  # as after a crash of this process
    return error is not None and not isinstance(error, Exception)
