"""Locks between all processes that use a store, as keys that belong to the session of the holder.

Each lock is a queue: the process whose key was created first holds it. A process enters the queues
of all its locks in one transaction, so all queues have the same order, and no two processes wait
for each other.

Locks fence: a write by a thread that holds locks has the condition that their keys still exist. A
process that was stopped for longer than its lease therefore cannot write, because another process
can have the locks by then.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from cinderlib.errors import StoreError
from cinderlib.locking import process_identity
from cinderlib.persistence.etcd import messages
from cinderlib.persistence.etcd.client import Client, Unanswered
from cinderlib.persistence.etcd.layout import Layout
from cinderlib.persistence.etcd.messages import Answer, KeyValue, Message
from cinderlib.persistence.etcd.patience import Patience
from cinderlib.persistence.etcd.sessions import Session, Sessions, end_if_dead

#: The lock of a process that writes more records than a transaction can have conditions for. The
#: writes of all others wait for it.
EVERYTHING = "everything"

#: Seconds between checks that the holder of a lock on this host is alive.
JUDGE = 1.0


class HeldLock(NamedTuple):
    """A lock that a thread holds.

    :ivar key: of this holder.
    :ivar created: the revision that created the key.
    """

    session: Session
    key: bytes
    created: int

    def is_held(self) -> Message:
        """The condition that the lock was not lost."""
        return messages.created_is(self.key, self.created)


class EtcdLocks:
    """The locks of a store."""

    reaches_hosts = True

    def __init__(self, client: Client, layout: Layout, sessions: Sessions) -> None:
        self._client = client
        self._layout = layout
        self._sessions = sessions
        self._numbers = itertools.count()
        self._mine = threading.local()

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks.

        :param numbers: ascending.
        :param timeout: seconds to wait for them.
        :returns: a function that releases them; None if they were not free in time.
        :raises StoreError: etcd cannot be reached.
        """
        return self._take([b"%d" % number for number in numbers], time.monotonic() + timeout)

    @contextlib.contextmanager
    def everything(self, deadline: float) -> Iterator[None]:
        """Keep the writes of all others waiting.

        :param deadline: monotonic time until which to wait for others who do the same.
        :raises StoreError: another process did it for longer, or etcd cannot be reached.
        """
        release = self._take([EVERYTHING.encode()], deadline)
        if release is None:
            raise self.blocked()
        try:
            yield
        finally:
            release()

    def blocked(self) -> StoreError:
        """The error for a write that waited too long for :meth:`everything`."""
        return StoreError(
            f"The store {self._client} failed: another process writes many records and did not end"
            " in time. The store did not change."
        )

    @property
    def everyone(self) -> bytes:
        """The prefix of the keys of those who hold or wait for :meth:`everything`."""
        return self._queue(EVERYTHING.encode())

    def held(self) -> list[HeldLock]:
        """The locks that this thread holds."""
        return list(self._of_thread())

    def is_held(self, lock: HeldLock) -> bool:
        """Whether this thread has not released it."""
        return lock in self._of_thread()

    def end_dead(self, waiting: Sequence[KeyValue]) -> bool:
        """End the sessions of processes that were killed on this host.

        :param waiting: their keys in the queue of a lock.
        :returns: whether there were any.
        """
        ended = [end_if_dead(self._client, key) for key in waiting]
        return any(ended)

    def _of_thread(self) -> list[HeldLock]:
        if getattr(self._mine, "pid", None) != os.getpid():
            self._mine.pid = os.getpid()
            self._mine.held = []
        found: list[HeldLock] = self._mine.held
        return found

    def _queue(self, name: bytes) -> bytes:
        return b"%s%s/" % (self._layout.locks, name)

    def _take(self, names: list[bytes], deadline: float) -> Callable[[], None] | None:
        while True:
            session = self._sessions.current()
            keys = [
                b"%s%016x.%d" % (self._queue(name), session.lease, next(self._numbers))
                for name in names
            ]
            try:
                entered = self._enter(session, names, keys)
                if entered is None:
                    self._sessions.lost(session)
                    continue
                got = self._wait(session, names, keys, entered, deadline)
            except Unanswered:
                # etcd may still add the keys. Without the session it will not.
                self._sessions.abandon(session)
                raise
            except BaseException:
                self._leave(keys)
                raise
            if got is None:
                self._leave(keys)
                return None
            of_thread = self._of_thread()
            of_thread += got
            return functools.partial(self._release, of_thread, got, os.getpid())

    def _enter(
        self, session: Session, names: list[bytes], keys: list[bytes]
    ) -> list[Answer] | None:
        """Enter the queues. Returns their keys, or None if the session has ended."""
        owner = msgspec.json.encode(process_identity.this_process())
        outcome = self._client.transaction(
            [session.exists()],
            [*(messages.put(key, owner, session.lease) for key in keys), *self._queues(names)],
            [],
        )
        return outcome.answers if outcome.succeeded else None

    def _queues(self, names: list[bytes]) -> list[Message]:
        queues = [self._queue(name) for name in names]
        return [messages.get(queue, messages.end_of(queue)) for queue in queues]

    def _wait(
        self,
        session: Session,
        names: list[bytes],
        keys: list[bytes],
        queues: list[Answer],
        deadline: float,
    ) -> list[HeldLock] | None:
        """Wait until this process is the first in all queues. Returns None if that took too
        long."""
        patience = Patience(deadline)
        judged, judge_again = set[int](), 0.0
        while True:
            before: list[KeyValue] = []
            held: list[HeldLock] = []
            for key, queue in zip(keys, queues, strict=True):
                own = next((each for each in queue.keys if each.key == key), None)
                if own is None:
                    raise StoreError(
                        f"The store {self._client} failed: the lease of this process ended while it"
                        " waited for a lock. No lock was taken."
                    )
                before += [each for each in queue.keys if each.created < own.created]
                held.append(HeldLock(session, key, own.created))
            if not before:
                return held
            if time.monotonic() > judge_again:
                judged, judge_again = set(), time.monotonic() + JUDGE
            new = [each for each in before if each.lease not in judged]
            judged.update(each.lease for each in new)
            if not self.end_dead(new) and not patience.wait():
                return None
            queues, _ = self._client.read(*self._queues(names))

    def _release(self, of_thread: list[HeldLock], locks: list[HeldLock], process: int) -> None:
        """Release locks, unless this is a child of the process that holds them."""
        if process != os.getpid():
            return
        for lock in locks:
            of_thread.remove(lock)
        self._leave([lock.key for lock in locks], locks[0].session)

    def _leave(self, keys: list[bytes], session: Session | None = None) -> None:
        try:
            self._client.transaction([], [messages.delete(key) for key in keys], [])
        except Unanswered:
            if session is not None:
                self._sessions.abandon(session)
        except StoreError:
            pass  # The lease releases them.

    def close(self) -> None:
        """The session of the store releases all locks."""
