"""Transactions that change records: executed once, and only by a process that still may.

Each has the conditions that the session of this process exists, that this thread still holds its
locks, and that no process writes everything (see :mod:`cinderlib.persistence.etcd.locks`). It also
writes its own key, a slot of the session, under the condition that the slot was not written
since its last use. If an answer is lost, the transaction is sent again: it then either executes for
the first time, or fails because of the slot, whose value shows that it was executed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from cinderlib.errors import StoreError
from cinderlib.persistence.etcd import messages
from cinderlib.persistence.etcd.client import Client, Outcome, Unanswered
from cinderlib.persistence.etcd.locks import EtcdLocks, HeldLock
from cinderlib.persistence.etcd.messages import Answer, Message
from cinderlib.persistence.etcd.patience import Patience
from cinderlib.persistence.etcd.sessions import Session, Sessions, Slot


class Result(NamedTuple):
    """The result of a commit.

    :ivar revision: that wrote the changes; 0 if a condition was false.
    :ivar found: the answers to the reads, if a condition was false.
    """

    revision: int
    found: list[Answer]


class Committer:
    """Commits transactions of a store."""

    def __init__(self, client: Client, sessions: Sessions, locks: EtcdLocks) -> None:
        self._client = client
        self._sessions = sessions
        self._locks = locks

    def commit(
        self, conditions: Sequence[Message], changes: Sequence[Message], reads: Sequence[Message]
    ) -> Result:
        """Execute changes if all conditions are true, and the reads otherwise.

        :raises StoreError: the store did not change, because etcd cannot be reached or this thread
            lost its locks; or the message states that the result is not known.
        """
        patience = Patience(time.monotonic() + self._client.timeout)
        while True:
            held = self._locks.held()
            session = held[-1].session if held else self._sessions.current()
            with session.slot() as slot:
                outcome = self._send(session, slot, held, conditions, changes, reads)
                if outcome.succeeded:
                    slot.used(outcome.revision)
                    return Result(outcome.revision, [])
                written, alive, everyone, *rest = outcome.answers
                if written.keys and written.keys[0].value == slot.mark:
                    slot.used(written.keys[0].modified)
                    return Result(slot.revision, [])
            locks, found = rest[: len(held)], rest[len(held) :]
            if not alive.keys or alive.keys[0].created != session.created:
                self._sessions.lost(session)
                if held or outcome.repeated:
                    raise self._lost(outcome)
            elif any(
                (not answer.keys or answer.keys[0].created != lock.created)
                and self._locks.is_held(lock)
                for lock, answer in zip(held, locks, strict=True)
            ):
                raise self._lost(outcome)
            elif everyone.keys and not self._is_everything(held):
                if not self._locks.end_dead(everyone.keys) and not patience.wait():
                    raise self._locks.blocked()
            elif all(answer.keys for answer in locks):
                return Result(0, found)

    def _send(
        self,
        session: Session,
        slot: Slot,
        held: Sequence[HeldLock],
        conditions: Sequence[Message],
        changes: Sequence[Message],
        reads: Sequence[Message],
    ) -> Outcome:
        everyone = self._locks.everyone
        guards = [
            messages.modified_is(slot.key, slot.revision),
            session.exists(),
            *(lock.is_held() for lock in held),
        ]
        if not self._is_everything(held):
            guards.append(messages.none_with(everyone))
        looks = [
            messages.get(slot.key),
            messages.get(session.key),
            messages.get(everyone, messages.end_of(everyone)),
            *(messages.get(lock.key) for lock in held),
        ]
        try:
            return self._client.transaction(
                [*guards, *conditions],
                [messages.put(slot.key, slot.mark, session.lease), *changes],
                [*looks, *reads],
            )
        except Unanswered as exc:
            raise StoreError(
                f"{exc} Whether the change was written is not known; read the records before you"
                " continue."
            ) from exc

    def _is_everything(self, held: Sequence[HeldLock]) -> bool:
        return any(lock.key.startswith(self._locks.everyone) for lock in held)

    def _lost(self, outcome: Outcome) -> StoreError:
        result = (
            "Whether the change was written is not known; read the records before you continue."
            if outcome.repeated
            else "The store did not change."
        )
        return StoreError(
            f"The store {self._client} failed: this process lost its locks, because it did not"
            f" renew its lease for {self._sessions.lease} seconds. Another process may have"
            f" continued its work. {result}"
        )
