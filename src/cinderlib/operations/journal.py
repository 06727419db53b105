"""Intents: what makes every step one that can be the last before a crash.

An operation writes an intent together with the resource's transitional status, works, and removes
the intent in the same transaction that writes the result. So an intent in the store belongs either
to an operation that runs now, and holds the resource's lock, or to one that was interrupted: by a
crash, or by a store that failed when the result was to be recorded. Whoever finds an interrupted
one while holding the lock calls the function that was registered for it with :func:`recovers`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, Protocol, TypeVar

from cinderlib import errors
from cinderlib.drivers.port import Driver
from cinderlib.locking import process_identity
from cinderlib.locking.locks import Locks
from cinderlib.persistence.base import Change, Put, Query, Remove, Store
from cinderlib.progress import Listener
from cinderlib.records import ConnectionRecord, IntentRecord, Record, VolumeRecord, new_id, replace

LOG = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)

#: What forced calls left undone on the storage. Nothing waits for it. It is tried again when the
#: resource is next worked on, and when recovery or reconciliation is asked for.
OWED = frozenset({"connection.unmap"})

#: Fields that the store writes.
_OF_THE_STORE = frozenset({"id", "version", "created_at", "updated_at"})

#: How often a result is brought onto a record that others change meanwhile.
ATTEMPTS = 20


class Host(Protocol):
    """The host half of a connection, as far as operations need it."""

    def identity(self) -> str:
        """Tells apart those who attach under one kernel."""

    def has(self, connection: ConnectionRecord) -> bool:
        """Whether its device was made on this host."""

    def attach(self, connection: ConnectionRecord, volume: VolumeRecord | None) -> dict[str, Any]:
        """:returns: the device document."""

    def detach(
        self, connection: ConnectionRecord, *, force: bool = False, ignore_errors: bool = False
    ) -> None: ...

    def extend(self, connection: ConnectionRecord) -> int:
        """:returns: the device's size in bytes."""


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


Recovery = Callable[["Journal", IntentRecord], str]
_recoveries: dict[str, Recovery] = {}


def recovers(operation: str) -> Callable[[Recovery], Recovery]:
    """Registers the function that settles an interrupted operation.

    It is called with the resource's lock held, may be called again after a crash of its own, and
    answers ``'finished'`` or ``'undone'``.
    """

    def register(function: Recovery) -> Recovery:
        _recoveries[operation] = function
        return function

    return register


class Journal:
    """What every operation works with: the store, its locks, the drivers, this host.

    :param driver: gives the driver of a backend by its name, or raises ``BackendNotFound``.
    :param host: the half of this process that attaches.
    :param tell: is told how far a recovery is.
    """

    def __init__(
        self,
        store: Store,
        locks: Locks,
        driver: Callable[[str], Driver],
        host: Host,
        tell: Listener,
    ) -> None:
        self.store = store
        self.locks = locks
        self.driver = driver
        self.host = host
        self.tell = tell
        self._mine = threading.local()

    def begin(
        self,
        operation: str,
        lock: str,
        record: R,
        *others: Change,
        before: R | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> tuple[IntentRecord, R]:
        """Record that an operation starts, and the record in its transitional state.

        :param lock: the name of the lock that is held for it.
        :param others: changes to make together with it.
        :param before: the record as it was read, when others may write it without the lock, as
            ``save()`` does: what they wrote is kept.
        :raises StoreError: nothing was recorded and nothing may be done.
        """
        intent = IntentRecord(
            id=new_id(),
            operation=operation,
            backend=record.backend,  # type: ignore[attr-defined]
            resource_id=record.id,
            lock=lock,
            owner=process_identity.this_process(),
            data=dict(data or {}),
        )
        return intent, self.begin_with(intent, record, *others, before=before)

    def begin_with(
        self, intent: IntentRecord, record: R, *others: Change, before: R | None = None
    ) -> R:
        """The same, with an intent that the caller made. It takes the place of one with its id."""
        asked = record
        for attempt in range(ATTEMPTS):
            try:
                written = self.store.apply(Put(intent, check=not attempt), Put(record), *others)
                break
            except errors.StaleRecord:
                current = self.store.get(type(record), record.id)
                if before is None or current is None or attempt == ATTEMPTS - 1:
                    # A store of cinderlib 5's kind has no transactions, and keeps the intent.
                    self.store.apply(Remove(IntentRecord, intent.id))
                    raise
                record = replace(current, **differences(before, asked))
        return written[1]  # type: ignore[return-value]

    def finish(self, intent: IntentRecord, done: str, *changes: Change) -> tuple[Record, ...]:
        """Record the result and drop the intent.

        :param done: what has been done by now, for the error when it cannot be recorded.
        """
        try:
            return self.store.apply(*changes, Remove(IntentRecord, intent.id))
        except errors.StaleRecord:
            raise
        except errors.StoreError as exc:
            raise errors.StoreError(
                f"{done}, but the store could not record it: {exc}. Nothing is lost: the intent is"
                " in the store, and the same call again, or recover(), settles it",
                resource=intent.resource_id,
            ) from exc

    def finish_with(
        self, intent: IntentRecord, done: str, before: R, after: R, *others: Change
    ) -> R:
        """Record what an operation changed in a record, onto whatever others changed meanwhile.

        :param others: changes to make together with it; nobody else may change those records.
        :returns: the record as it was written.
        """
        return self.finish_with_all(intent, done, before, after, *others)[0]  # type: ignore[return-value]

    def finish_with_all(
        self, intent: IntentRecord, done: str, before: R, after: R, *others: Change
    ) -> tuple[Record, ...]:
        """The same.

        :returns: also the records of ``others`` as they were written.
        """
        return self._write(
            before, after, lambda record: self.finish(intent, done, Put(record), *others)
        )

    def keep(self, before: R, after: R) -> R:
        """Record what a step changed in a record while its operation goes on, so that the driver
        finds it in its database.

        :returns: the record as it is in the store.
        """
        if not differences(before, after):
            return after
        written = self._write(before, after, lambda record: self.store.apply(Put(record)))
        return written[0]  # type: ignore[return-value]

    def _write(
        self, before: R, after: R, write: Callable[[R], tuple[Record, ...]]
    ) -> tuple[Record, ...]:
        record = after
        for _ in range(ATTEMPTS):
            try:
                return write(record)
            except errors.StaleRecord:
                current = self.store.get(type(after), after.id)
                if current is None:
                    raise
                record = replace(current, **differences(before, after))
        raise errors.StaleRecord(f"Others keep changing {after.id}", resource=after.id)

    @contextlib.contextmanager
    def whole_call(self) -> Iterator[None]:
        """While a call runs that is made of two operations: the intent for the whole is then in the
        store, and in between no lock is held but the call's own.

        :raises NodeError: this host's state folder cannot be used.
        :raises StoreError: the service that keeps the locks cannot be reached.
        """
        on_host = self.on_this_host()
        with self.locks.call() as number:
            self._mine.call = {"call": number, **on_host}
            try:
                yield
            finally:
                del self._mine.call

    def this_call(self) -> dict[str, Any]:
        """What the intent for the whole says of the call that this thread is in."""
        return dict(self._mine.call)

    def is_this_call(self, intent: IntentRecord) -> bool:
        """Whether an intent for the whole is of the call that this thread is in."""
        mine: dict[str, Any] | None = getattr(self._mine, "call", None)
        return mine is not None and intent.data.get("call") == mine["call"]

    def whole_call_is_running(self, intent: IntentRecord) -> bool:
        """Whether the call that wrote an intent for the whole has not ended."""
        number = intent.data.get("call")
        if not self.locks.reach(intent.owner):
            return True
        return isinstance(number, int) and self.locks.is_running(number)

    def on_this_host(self) -> dict[str, str]:
        """What an intent says of where the device is that it is about.

        :raises NodeError: this host's state folder cannot be used.
        """
        return {"node": self.host.identity()}

    def is_on_this_host(self, intent: IntentRecord) -> bool:
        """Whether what an operation did on its host is known here. The kernel is the host: names
        differ between containers, and can change."""
        owner = intent.owner
        if owner.boot_id == process_identity.boot_id():
            return intent.data.get("node") in (None, self.host.identity())
        return owner.host == process_identity.this_host()

    def fail(self, intent: IntentRecord, before: R, after: R, *others: Change) -> None:
        """Record a failure while its exception is on the way; one of the store is only logged,
        because the intent that stays says the same. An operation that was interrupted (by Control-C
        or a signal handler) has not failed: its intent stays too, and is settled like any other."""
        if _is_interrupted():
            LOG.info("%s of %s was interrupted", intent.operation, intent.resource_id)
            return
        try:
            self.finish_with(intent, "It failed", before, after, *others)
        except errors.StoreError as exc:
            LOG.warning("%s of %s failed: %s", intent.operation, intent.resource_id, exc)

    def settle(self, resource_id: str, lock: str) -> bool:
        """Recover the interrupted operations of a resource.

        :param lock: the lock that is held; operations under another are left alone.
        :returns: whether there were any.
        :raises Busy: the operation may still run where this lock does not reach.
        """
        return self.settle_found(self.store.find(IntentRecord, {"resource_id": resource_id}), lock)

    def settle_found(self, found: Iterable[IntentRecord], lock: str) -> bool:
        """The same, with the intents of a resource as they were found under its lock."""
        interrupted = [
            intent for intent in found if intent.lock == lock and intent.operation not in OWED
        ]
        for intent in interrupted:
            if self.may_run(intent):
                raise errors.Busy(
                    f"{intent.operation} of {intent.resource_id} was begun by process"
                    f" {intent.owner.pid} on {intent.owner.host} and may still run there",
                    resource=intent.resource_id,
                )
            self.recover(intent)
        return bool(interrupted)

    def try_owed(self, found: Iterable[IntentRecord]) -> list[IntentRecord]:
        """Try once more what forced calls left undone on a resource; its lock is held.

        :param found: the intents of the resource.
        :returns: what is still undone.
        """
        left = []
        for intent in found:
            if intent.operation in OWED:
                try:
                    self.recover(intent)
                except errors.CinderlibError as exc:
                    LOG.warning("%s of %s: %s", intent.operation, intent.resource_id, exc)
                    left.append(intent)
        return left

    def drop(self, intent: IntentRecord, *changes: Change) -> None:
        """Forget an operation that came to nothing while its exception is on the way, as
        :meth:`fail` does for those whose record stays."""
        if _is_interrupted():
            return
        try:
            self.finish(intent, "It failed", *changes)
        except errors.StoreError as exc:
            LOG.warning("%s of %s failed: %s", intent.operation, intent.resource_id, exc)

    def may_run(self, intent: IntentRecord) -> bool:
        """Whether an operation can be under way although its lock is held here: on a host that
        this store's locks don't reach."""
        return not self.locks.reach(intent.owner)

    def recover(self, intent: IntentRecord) -> str:
        """Settle one interrupted operation; its resource's lock is held."""
        recovery = _recoveries.get(intent.operation)
        if recovery is None:
            raise errors.Unsupported(
                f"This version does not know the operation {intent.operation!r}; the version that"
                f" began it on {intent.owner.host} can recover it",
                resource=intent.resource_id,
            )
        outcome = recovery(self, intent)
        LOG.info("%s of %s was interrupted: %s", intent.operation, intent.resource_id, outcome)
        return outcome


def _is_interrupted() -> bool:
    """Whether what is on the way ends the program or its call, and is no error of the work."""
    exception = sys.exception()
    return exception is not None and not isinstance(exception, Exception)


def differences(before: Record, after: Record) -> dict[str, Any]:
    """The fields in which two records differ, with the second one's values."""
    changed = {}
    for name in after.__struct_fields__:
        value, was = getattr(after, name), getattr(before, name)
        if value is not was and value != was and name not in _OF_THE_STORE:
            changed[name] = value
    return changed


def intents_of(resource_id: str) -> Query:
    """Asks the store for the operations on a resource."""
    return Query(IntentRecord, "resource_id", resource_id)


def refuse_differences(what: str, there: Record, asked: Mapping[str, Any]) -> None:
    """An id that is taken is only the same thing when it is what was asked.

    :raises AlreadyExists: it differs.
    """
    differ = {
        field: (getattr(there, field), value)
        for field, value in asked.items()
        if getattr(there, field) != value
    }
    if differ:
        told = ", ".join(f"{f} is {a!r}, not {b!r}" for f, (a, b) in sorted(differ.items()))
        raise errors.AlreadyExists(
            f"{what} {there.id} exists already and is another: {told}",
            resource=there.id,
            differences=differ,
        )


def lost(kind: type[errors.NotFound], what: str, id: str) -> NoReturn:
    raise kind(f"There is no {what} with the id {id}", resource=id)
