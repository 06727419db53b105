"""Sessions: etcd's leases, which end with the process that renews them.

A session has a key that exists while its lease does. Locks belong to a session, and every write has
the condition that the session of the writer still exists.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

import msgspec

from cinderlib.errors import StoreError
from cinderlib.locking import process_identity
from cinderlib.persistence.etcd import forks, messages
from cinderlib.persistence.etcd.client import Client, Refused
from cinderlib.persistence.etcd.layout import Layout
from cinderlib.persistence.etcd.messages import KeyValue, Message
from cinderlib.records import Owner

LOG = logging.getLogger(__name__)

#: Seconds until a failed renewal is tried again.
RETRY = 0.2


class Slot:
    """A key that a transaction writes, so that its execution can be recognized. Transactions use a
    slot in sequence.

    :ivar key: with the number of the last transaction.
    :ivar revision: of etcd that wrote the key; 0 if it does not exist.
    """

    __slots__ = ("key", "number", "revision")

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.number = 0
        self.revision = 0

    @property
    def mark(self) -> bytes:
        """The value that the next transaction writes."""
        return str(self.number + 1).encode()

    def used(self, revision: int) -> None:
        """Record that a transaction was executed."""
        self.number += 1
        self.revision = revision


class Session:
    """A lease and its key.

    :ivar lease: the ID of the lease.
    :ivar created: the revision of etcd that created the key.
    """

    def __init__(self, key: bytes, lease: int, created: int) -> None:
        self.key = key
        self.lease = lease
        self.created = created
        self._guard = threading.Lock()
        self._slots: list[Slot] = []
        self._count = 0

    def exists(self) -> Message:
        """The condition that the lease has not ended."""
        return messages.created_is(self.key, self.created)

    @contextlib.contextmanager
    def slot(self) -> Iterator[Slot]:
        """A slot for a transaction. If the transaction has no known result, the slot is not used
        again: etcd might still write it."""
        with self._guard:
            if self._slots:
                slot = self._slots.pop()
            else:
                self._count += 1
                slot = Slot(b"%s/%d" % (self.key, self._count))
        yield slot
        with self._guard:
            self._slots.append(slot)


class Sessions:
    """The session of this process. It starts with the first write or lock.

    :param lease: seconds without renewal after which the session ends.
    """

    def __init__(self, client: Client, layout: Layout, lease: int) -> None:
        self._client = client
        self._layout = layout
        self.lease = lease
        self.after_fork()
        forks.register(self)

    def after_fork(self) -> None:
        """In a child process: the session and the thread that renews it are the parent's."""
        self._guard = threading.Lock()
        self._session: Session | None = None
        self._abandoned: list[int] = []
        self._stopped = threading.Event()

    def current(self) -> Session:
        """The session.

        :raises StoreError: etcd cannot be reached.
        """
        with self._guard:
            if self._session is None:
                self._session = self._start()
            return self._session

    def _start(self) -> Session:
        while self._abandoned:
            self._end(self._abandoned[-1])
            self._abandoned.pop()
        granted, _ = self._client.call("lease/grant", {"TTL": self.lease})
        lease = int(granted["ID"])
        key = b"%s%016x" % (self._layout.sessions, lease)
        owner = msgspec.json.encode(process_identity.this_process())
        steps = [messages.put(key, owner, lease), messages.get(key)]
        ((found,),) = [answer.keys for answer in self._client.transaction([], steps, []).answers]
        session = Session(key, lease, found.created)
        threading.Thread(
            target=self._renew,
            args=(session, self._stopped),
            name=f"cinderlib-etcd-{os.getpid()}",
            daemon=True,
        ).start()
        return session

    def lost(self, session: Session) -> None:
        """Forget a session whose lease ended: the next write starts another one."""
        with self._guard:
            if self._session is session:
                self._session = None
                LOG.warning(
                    "The lease of this process in %s ended, because it was not renewed for %d"
                    " seconds. Its operations at that time cannot record a result",
                    self._client,
                    self.lease,
                )

    def abandon(self, session: Session) -> None:
        """Do not use a session again, because a request for a lock has no known result.
        Its lease ends before the next session starts."""
        with self._guard:
            if self._session is session:
                self._session = None
                self._abandoned.append(session.lease)

    def _end(self, lease: int, **options: float) -> None:
        with contextlib.suppress(Refused):  # it has ended
            self._client.call("lease/revoke", {"ID": lease}, **options)

    def _renew(self, session: Session, stopped: threading.Event) -> None:
        pause = self.lease / 3
        while not stopped.wait(pause):
            if self._session is not session:
                return
            pause = self.lease / 3
            try:
                answer, _ = self._client.call(
                    "lease/keepalive", {"ID": session.lease}, timeout=self.lease
                )
            except StoreError as exc:
                LOG.info("The lease in %s could not be renewed: %s", self._client, exc)
                pause = RETRY
                continue
            if not int(answer.get("result", {}).get("TTL", 0)):
                self.lost(session)
                return

    def close(self) -> None:
        """End the session, which releases all its locks."""
        self._stopped.set()
        with self._guard:
            session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(StoreError):
                self._end(session.lease, timeout=1)


def end_if_dead(client: Client, key: KeyValue) -> bool:
    """End the session of a process of this host that was killed, without waiting for its lease.

    :param key: a key of the session, with the process as its value.
    :returns: whether the session was ended.
    """
    try:
        owner = msgspec.json.decode(key.value, type=Owner)
    except msgspec.MsgspecError:
        return False
    # Another boot of a host with this name can be another host with the same name.
    if owner.boot_id != process_identity.boot_id() or not process_identity.is_dead(owner):
        return False
    try:
        client.call("lease/revoke", {"ID": key.lease})
    except Refused:
        return True  # it has ended
    return True
