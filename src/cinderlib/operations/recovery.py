"""All interrupted operations of a store, or of one backend."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from cinderlib import errors
from cinderlib.locking import process_identity
from cinderlib.operations import attachments, group_members, long_calls, whole_call_intents
from cinderlib.operations.history import PENDING_UNMAPS
from cinderlib.operations.journal import Journal, Recovered
from cinderlib.operations.settling import SNAPSHOT_CONNECT
from cinderlib.progress import Progress
from cinderlib.records import IntentRecord

LOG = logging.getLogger(__name__)

#: Seconds to wait for the lock of an operation; if it is held, the operation is running.
PATIENCE = 0.05
#: The same if the process is dead: a lock service may need time to release its locks.
PATIENCE_IF_DEAD = 5.0
#: Operations that hold only the lock of their call between their steps.
_SPANNING = whole_call_intents.WHOLE_CALLS | {SNAPSHOT_CONNECT}


def recover(
    journal: Journal, backend: str | None = None, *, pending_unmaps: bool = True
) -> list[Recovered]:
    """Settle the interrupted operations; running ones are skipped.

    An operation whose recovery fails stays recorded, is reported with the reason and can be
    recovered again. Killed half way, recovery can be run again.

    :param backend: only operations on this one; not those that need a second backend that is not
        loaded.
    :param pending_unmaps: whether to retry unmaps that failed earlier too. They fail while the
        storage does.
    """
    found = [
        intent
        for intent in journal.store.iterate(IntentRecord)
        if backend is None
        or (backend in _backends(intent) and all(map(journal.is_loaded, _backends(intent))))
    ]
    # A failover first: the others need the storage that the backend uses after it.
    found.sort(key=lambda intent: not intent.operation.startswith("backend."))
    results: list[Recovered] = []
    for intent in found:
        journal.tell(Progress(len(results), len(found), "operations"))
        if pending_unmaps or intent.operation not in PENDING_UNMAPS:
            results.append(recover_one(journal, intent))
    return results


def _backends(intent: IntentRecord) -> set[str]:
    """The backends whose drivers the recovery of an operation needs."""
    other = intent.data.get("backend")
    return {intent.backend, other} if isinstance(other, str) else {intent.backend}


def is_interrupted(journal: Journal, intent: IntentRecord) -> bool:
    """Whether recovery would settle an operation now."""
    found = _attempt(journal, intent, lambda intent: "interrupted")
    return found.outcome == "interrupted"


def recover_one(journal: Journal, intent: IntentRecord) -> Recovered:
    """Settle an operation if it was interrupted."""
    return _attempt(journal, intent, journal.recover)


def _attempt(
    journal: Journal, intent: IntentRecord, settle: Callable[[IntentRecord], str]
) -> Recovered:
    try:
        if intent.operation in long_calls.LONG_CALLS:
            return _attempt_long_call(journal, intent, settle)
        dead = process_identity.is_dead(intent.owner)
        patience = PATIENCE_IF_DEAD if dead else PATIENCE
        locks = {intent.lock, *group_members.further_locks(intent)}
        if intent.operation in whole_call_intents.WHOLE_CALLS:
            # Another process may be attaching it by now.
            locks.add(whole_call_intents.host_lock_name(intent.resource_id))
        with journal.locks.hold(*locks, timeout=patience):
            if journal.store.get(IntentRecord, intent.id) is None:
                return _result(intent, "skipped", "it ended meanwhile")
            if intent.operation not in PENDING_UNMAPS and (reason := _why_foreign(journal, intent)):
                return _result(intent, "skipped", reason)
            if intent.operation in _SPANNING and journal.whole_call_is_running(intent):
                return _result(intent, "skipped", "it is running")
            return _result(intent, settle(intent))
    except errors.Busy:
        return _result(intent, "skipped", "it is running")
    except errors.CinderlibError as exc:
        LOG.warning("%s of %s: %s", intent.operation, intent.resource_id, exc)
        return _result(intent, "failed", str(exc))
    except (KeyError, msgspec.ValidationError) as exc:
        # A damaged intent must not prevent the recovery of others.
        reason = f"the intent {intent.id} is damaged: {type(exc).__name__}: {exc}"
        LOG.warning("%s of %s: %s", intent.operation, intent.resource_id, reason)
        return _result(intent, "failed", reason)


def _attempt_long_call(
    journal: Journal, intent: IntentRecord, settle: Callable[[IntentRecord], str]
) -> Recovered:
    """Continue a long call, whose steps take their own locks."""
    if reason := _why_foreign(journal, intent):
        return _result(intent, "skipped", reason)
    with journal.whole_call():
        mine = long_calls.take_over(journal, intent)
        if mine is None:
            return _result(intent, "skipped", "it is running, or ended meanwhile")
        return _result(intent, settle(mine))


def _why_foreign(journal: Journal, intent: IntentRecord) -> str | None:
    """Why others must settle an operation, or ``None`` if it can be settled here."""
    if intent.operation in attachments.ON_THE_HOST | long_calls.LONG_CALLS:
        # The device is on the host that started it, and only that host can check it.
        if journal.is_on_this_host(intent):
            return None
        if process_identity.is_of_this_machine(intent.owner):
            return (
                f"it was begun on {intent.owner.host} with another state_path, or in another"
                " container; recover it there"
            )
    elif not journal.may_run(intent):
        return None
    host = intent.owner.host
    return f"it was started on {host}, and only that host can determine whether it is running"


def _result(intent: IntentRecord, outcome: str, reason: str = "") -> Recovered:
    return Recovered(
        operation=intent.operation,
        backend=intent.backend,
        resource_id=intent.resource_id,
        outcome=outcome,
        reason=reason,
    )
