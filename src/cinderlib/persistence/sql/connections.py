"""Connections that are kept open, for threads that take turns with them.

SQLAlchemy makes them and sets them up. Its own pool, and what it puts around a connection, take
longer than SQLite does for a look-up.
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

#: A connection that nobody has used for so many seconds is closed, unless it is the last one.
#: Threads come in bursts, and making a connection to a server takes longer than most operations.
IDLE = 30.0

_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_of_parents: list[Any] = []


class AllInUse(Exception):
    """Other threads have kept all connections for as long as one may wait."""


class Kept:
    """A connection of the DBAPI, which one thread at a time has.

    :ivar prepared: the statements that it has been prepared for, by their texts.
    :ivar since: when it was last made or given back, on the monotonic clock.
    """

    __slots__ = ("dbapi", "generation", "prepared", "since")

    def __init__(self, dbapi: Any, generation: int) -> None:
        self.dbapi = dbapi
        self.prepared: set[str] = set()
        self.generation = generation
        self.since = time.monotonic()


class Connections:
    """Connections to one database.

    :param engine: makes them.
    :param most: how many may be open at once.
    :param timeout: seconds to wait for one when so many are in use.
    :param only: whether there is one connection, which is the database itself, in memory.
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
        # As many as may still be taken. A semaphore does the same and takes ten times as long.
        self._turns: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(self._most):
            self._turns.put(None)
        self._free: collections.deque[Kept] = collections.deque()

    def take(self) -> Kept:
        """A connection; it must be given back or dropped.

        :raises AllInUse: there was none for ``timeout`` seconds.
        :raises sqlalchemy.exc.DBAPIError: a new one could not be made.
        """
        try:
            self._turns.get(timeout=self._timeout)
        except queue.Empty:
            raise AllInUse from None
        try:
            # The one that was used last: those that are not needed grow old.
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
        """For others to take; nothing of what was done with it may be left."""
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
            pass  # Others have taken them meanwhile.

    def drop(self, kept: Kept) -> None:
        """Instead of giving it back: it is broken."""
        _close(kept)
        self._turns.put(None)

    def forget(self) -> None:
        """Close all, those that are in use when they are given back."""
        self._generation += 1
        with contextlib.suppress(IndexError):
            while True:
                _close(self._free.pop())
        self._engine.dispose()

    def after_fork(self) -> None:
        """In a child process: leave the parent's alone. They are kept, since closing them here
        would end them there. What is in memory is the child's own."""
        _of_parents.append((self._free, self._engine.pool))
        self._start()
        if self._only is not None:
            self._free.append(self._only)
        else:
            self._engine.dispose(close=False)
            self._generation += 1


def _close(kept: Kept) -> None:
    # Whatever the DBAPI says of one that is broken, it is of no use any more.
    with contextlib.suppress(Exception):
        kept.dbapi.close()


def _after_fork() -> None:
    for connections in list(_all):
        connections.after_fork()


os.register_at_fork(after_in_child=_after_fork)
