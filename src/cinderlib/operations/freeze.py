"""Freezes a backend: operations that create, change or delete resources are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cinderlib import errors
from cinderlib.operations import failover, group_members, replication
from cinderlib.operations.intents import new_intent
from cinderlib.operations.journal import Journal, was_interrupted
from cinderlib.operations.settling import recovers
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Change
from cinderlib.records import IntentRecord, ReplicationRecord, replace

LOG = logging.getLogger(__name__)


def freeze(journal: Journal, backend: str) -> tuple[ReplicationRecord, bool]:
    """Freeze a backend.

    It is frozen even if the driver fails: refusing operations does not need the driver.

    :returns: the state, and whether it was changed by this call.
    :raises Unsupported: the backend has no replication; nothing changed.
    """
    return _change(journal, backend, replication.FREEZE, _freeze, frozen=True)


def thaw(journal: Journal, backend: str) -> tuple[ReplicationRecord, bool]:
    """Allow the operations again.

    :returns: the state, and whether it was changed by this call.
    :raises DriverError: the driver failed. The backend stays frozen.
    """
    return _change(journal, backend, replication.THAW, _thaw, frozen=False)


def _change(
    journal: Journal,
    backend: str,
    operation: str,
    work: Callable[[Journal, IntentRecord], ReplicationRecord],
    *,
    frozen: bool,
) -> tuple[ReplicationRecord, bool]:
    lock = failover.lock_name(backend)
    with journal.locks.hold(lock):
        journal.settle(backend, lock)
        failover.require(journal.driver(backend), backend)
        state = replication.find(journal.store, backend)
        if state.frozen == frozen:
            return state, False
        intent = new_intent(operation, state, lock)
        # A backend that is being thawed stays frozen until the driver has agreed.
        journal.begin_with(intent, in_key_values.put(replace(state, frozen=True)).record)
        try:
            return work(journal, intent), True
        except BaseException as exc:
            if not isinstance(exc, errors.StoreError):  # then recovery repeats it
                group_members.fail(journal, intent, list)
            raise


def _freeze(journal: Journal, intent: IntentRecord) -> ReplicationRecord:
    try:
        journal.driver(intent.backend).freeze()
    except errors.DriverError as exc:
        if was_interrupted(exc):
            raise
        LOG.warning("Backend %s is frozen, but its driver failed: %s", intent.backend, exc)
    return _settle(journal, intent, frozen=True)


def _thaw(journal: Journal, intent: IntentRecord) -> ReplicationRecord:
    journal.driver(intent.backend).thaw()
    return _settle(journal, intent, frozen=False)


def _settle(journal: Journal, intent: IntentRecord, *, frozen: bool) -> ReplicationRecord:
    def changes() -> list[Change]:
        state = replication.find(journal.store, intent.backend)
        return [in_key_values.put(replace(state, frozen=frozen))]

    done = f"Backend {intent.backend} was {'frozen' if frozen else 'thawed'}"
    group_members.finish(journal, intent, done, changes)
    return replication.find(journal.store, intent.backend)


@recovers(replication.FREEZE)
def recover_freeze(journal: Journal, intent: IntentRecord) -> str:
    """Call the driver again."""
    _freeze(journal, intent)
    return "finished"


@recovers(replication.THAW)
def recover_thaw(journal: Journal, intent: IntentRecord) -> str:
    """Call the driver again; the backend is frozen until it agrees."""
    try:
        _thaw(journal, intent)
    except errors.CinderlibError as exc:
        if not isinstance(exc, errors.StoreError | errors.Busy):
            group_members.fail(journal, intent, list)
        raise
    return "finished"
