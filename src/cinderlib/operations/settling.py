"""Settles interrupted operations with the functions that are registered for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from cinderlib import errors, first_use
from cinderlib.observation import Activity, Observer, observed
from cinderlib.operations.history import PENDING_UNMAPS, History
from cinderlib.operations.whole_calls import WholeCalls
from cinderlib.persistence.base import Store
from cinderlib.records import IntentRecord

LOG = logging.getLogger(__name__)

#: A compound operation on a temporary volume: between its steps, only the lock of the call is held.
SNAPSHOT_CONNECT = "snapshot.connect"

Recovery = Callable[[Any, IntentRecord], str]
_recoveries: dict[str, Recovery] = {}


def recovers(operation: str) -> Callable[[Recovery], Recovery]:
    """Registers the function that settles an interrupted operation.

    It is called with the resource's lock held, may be called again if it is interrupted itself, and
    returns ``'finished'`` or ``'undone'``.
    """

    def register(function: Recovery) -> Recovery:
        _recoveries[operation] = function
        return function

    return register


def _recovery_of(operation: str) -> Recovery | None:
    if operation not in _recoveries:
        first_use.import_all("cinderlib.operations")
    return _recoveries.get(operation)


class Settling(WholeCalls):
    """The part of a :class:`cinderlib.operations.journal.Journal` that settles operations."""

    store: Store
    observer: Observer | None
    _history: History

    def settle(self, resource_id: str, lock: str) -> bool:
        """Recover the interrupted operations of a resource.

        :param lock: the lock that is held; operations with another lock are skipped.
        :returns: whether an operation was interrupted.
        :raises Busy: the operation may still run on a host that this lock does not reach.
        """
        return self.settle_found(self.store.find(IntentRecord, {"resource_id": resource_id}), lock)

    def settle_found(self, found: Iterable[IntentRecord], lock: str) -> bool:
        """The same, with intents of the resource that the caller read under its lock."""
        interrupted = [
            intent
            for intent in found
            if intent.lock == lock
            and intent.operation not in PENDING_UNMAPS
            and not self.is_this_call(intent)
            and not (intent.operation == SNAPSHOT_CONNECT and self.whole_call_is_running(intent))
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

    def retry_pending_unmaps(self, found: Iterable[IntentRecord]) -> list[IntentRecord]:
        """Retry the pending unmaps of a resource; its lock is held.

        :param found: the intents of the resource.
        :returns: the intents of unmaps that failed again.
        """
        left = []
        for intent in found:
            if intent.operation in PENDING_UNMAPS:
                try:
                    self.recover(intent)
                except errors.CinderlibError as exc:
                    LOG.warning("%s of %s: %s", intent.operation, intent.resource_id, exc)
                    left.append(intent)
        return left

    def may_run(self, intent: IntentRecord) -> bool:
        """Whether an operation may still run although its lock is held here: on a host that this
        store's locks do not reach."""
        return not self.locks.reach(intent.owner)

    def recover(self, intent: IntentRecord, *, interrupted: bool = True) -> str:
        """Settle one interrupted operation; its resource's lock is held.

        :param interrupted: false for an operation that always runs as its own recovery.
        """
        recovery = _recovery_of(intent.operation)
        if recovery is None:
            raise errors.Unsupported(
                f"This version does not know the operation {intent.operation!r}; the version that"
                f" began it on {intent.owner.host} can recover it",
                resource=intent.resource_id,
            )
        activity = Activity("recovery", intent.operation, intent.backend)
        outer = getattr(self._mine, "recovering", None)
        self._mine.recovering = intent.id if interrupted else outer
        self._history.begin(intent)
        try:
            with observed(self.observer, activity):
                outcome = recovery(self, intent)
        finally:
            self._mine.recovering = outer
            self._history.forget(intent)
        if interrupted:
            LOG.info("%s of %s was interrupted: %s", intent.operation, intent.resource_id, outcome)
        return outcome
