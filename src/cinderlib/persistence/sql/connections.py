"""A pool of database connections for the threads of a process.

SQLAlchemy creates and configures the connections. Its own pool and connection objects take longer
than a query of SQLite.
"""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import time
import weakref
from typing import Any

import sqlalchemy as sa

#: Seconds after which an unused connection is closed, unless it is the last one. Threads come in
#: bursts, and connecting to a server takes longer than most operations.
IDLE = 30.0

_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_of_parents: list[Any] = []  # keeps the connections of parent processes open after a fork


class AllInUse(Exception):
    """Other threads used all connections during the whole timeout."""


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

    :param engine: creates them.
    :param most: the maximum number of open connections.
    :param timeout: seconds to wait for a connection if all are in use.
    :param only: whether there is exactly one connection, because the database is in its memory.
    """

    def __init__(self, engine: sa.Engine, most: int, timeout: float, *, only: bool = False) -> None:
        self._engine = engine
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
        :raises sqlalchemy.exc.DBAPIError: a new connection could not be opened.
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
        connection = self._engine.raw_connection()
        dbapi = connection.dbapi_connection
        connection.detach()
        return Kept(dbapi, generation)

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
        self._engine.dispose()

    def after_fork(self) -> None:
        """In a child process: do not use the parent's connections. They stay open, because closing
        them here would end them in the parent too. A database in memory was copied by the fork."""
        _of_parents.append((self._free, self._engine.pool))
        self._start()
        if self._only is not None:
            self._free.append(self._only)
        else:
            self._engine.dispose(close=False)
            self._generation += 1


def _close(kept: Kept) -> None:
    # Errors of a broken connection do not matter.
    with contextlib.suppress(Exception):
        kept.dbapi.close()


def _after_fork() -> None:
    for connections in list(_all):
        connections.after_fork()


os.register_at_fork(after_in_child=_after_fork)
