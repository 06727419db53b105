"""A pool of database connections for the threads of a process.

SQLAlchemy's own pool and connection objects take longer than a query of SQLite.
"""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import sqlalchemy as sa

#: Maximum number of connections of a store.
MOST = 32

#: Seconds after which an unused connection is closed, unless it is the last one. Threads come in
#: bursts, and connecting to a server takes longer than most operations.
IDLE = 30.0

_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_of_parents: list[Any] = []  # keeps the connections of parent processes open after a fork


class AllInUse(Exception):
    """Other threads used all connections during the whole timeout."""


class Opener(Protocol):
    """Opens connections to one database.

    :ivar dbapi: the database's module (PEP 249).
    """

    dbapi: Any

    def open(self) -> Any:
        """A new connection of the DBAPI in autocommit mode.

        :raises Exception: the database cannot be opened: the DBAPI's exception.
        """

    def engine(self, connection: Any) -> sa.Engine:
        """SQLAlchemy's engine for changes of the schema, on this connection or a new one."""

    def is_disconnect(self, error: Exception, connection: Any) -> bool:
        """Whether the connection is lost."""

    def dispose(self) -> None:
        """Close the connections that the opener keeps."""

    def after_fork(self) -> Any:
        """In a child process: do not use the parent's connections.

        :returns: an object to keep, so that they are not closed.
        """


class Kept:
    """A DBAPI connection, used by one thread at a time.

    :ivar prepared: the texts of the statements that are prepared on it.
    :ivar since: when it was last created or given back, on the monotonic clock.
    """

    __slots__ = ("dbapi", "generation", "prepared", "since")

    def __init__(self, dbapi: Any, generation: int) -> None:
        self.dbapi = dbapi
        self.prepared: set[str] = set()
        self.generation = generation
        self.since = time.monotonic()


class Connections:
    """Connections to one database.

    :param opener: opens them.
    :param most: the maximum number of open connections.
    :param timeout: seconds to wait for a connection if all are in use.
    :param only: whether there is exactly one connection, because the database is in its memory.
    """

    def __init__(self, opener: Opener, most: int, timeout: float, *, only: bool = False) -> None:
        self._opener = opener
        self._most = 1 if only else most
        self._timeout = timeout
        self._generation = 0
        self._start()
        self._only: Kept | None = self._make() if only else None
        if self._only is not None:
            self._free.append(self._only)
        _all.add(self)

    def _start(self) -> None:
        # One item for each connection that may be taken. A semaphore takes ten times as long.
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._most):
            self._turns.put(None)
        self._free: collections.deque[Kept] = collections.deque()

    def take(self) -> Kept:
        """A connection. Give it back or drop it after use.

        :raises AllInUse: no connection was free within ``timeout`` seconds.
        :raises Exception: a new connection could not be opened: the DBAPI's exception.
        """
        try:
            self._turns.get(timeout=self._timeout)
        except queue.Empty:
            raise AllInUse from None
        try:
            # The connection that was used last, so that surplus ones become idle and are closed.
            return self._free.pop()
        except IndexError:
            pass
        try:
            return self._make()
        except BaseException:
            self._turns.put(None)
            raise

    def _make(self) -> Kept:
        generation = self._generation
        return Kept(self._opener.open(), generation)

    def give_back(self, kept: Kept) -> None:
        """Give a connection back for other threads. It must not have an open transaction."""
        if kept.generation != self._generation:
            self.drop(kept)
            return
        now = kept.since = time.monotonic()
        free = self._free
        free.append(kept)
        self._turns.put(None)
        try:
            while len(free) > 1 and now - free[0].since > IDLE:
                _close(free.popleft())
        except IndexError:
            pass  # Other threads have taken them meanwhile.

    def drop(self, kept: Kept) -> None:
        """Close a broken connection instead of giving it back."""
        _close(kept)
        self._turns.put(None)

    def forget(self) -> None:
        """Close all connections; those in use are closed when they are given back."""
        self._generation += 1
        with contextlib.suppress(IndexError):
            while True:
                _close(self._free.pop())
        self._opener.dispose()

    def after_fork(self) -> None:
        """In a child process: do not use the parent's connections. They stay open, because closing
        them here would end them in the parent too. A database in memory was copied by the fork."""
        _of_parents.append((self._free, self._opener.after_fork()))
        self._start()
        if self._only is not None:
            self._free.append(self._only)
        else:
            self._generation += 1


def _close(kept: Kept) -> None:
    # Errors of a broken connection do not matter.
    with contextlib.suppress(Exception):
        kept.dbapi.close()


def _after_fork() -> None:
    for connections in list(_all):
        connections.after_fork()


os.register_at_fork(after_in_child=_after_fork)
