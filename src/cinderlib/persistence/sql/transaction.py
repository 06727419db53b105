"""How statements go to the database."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping
from typing import Any, Protocol

from cinderlib.persistence.sql.connections import Kept
from cinderlib.persistence.sql.statements import Statement

Values = Mapping[str, Any]

#: Seconds after which something between here and the server may have forgotten a connection.
RECENT = 10.0

#: PostgreSQL's ``division_by_zero``.
_DIVISION_BY_ZERO = "22012"
#: How all of PostgreSQL's states begin that say that a constraint was violated.
_INTEGRITY = "23"


def prepare(kept: Kept, cursor: Any, statement: Statement) -> None:
    """Let a connection know a statement, where it has to be told."""
    if statement.prepare is not None and statement.text not in kept.prepared:
        cursor.execute(statement.prepare)
        kept.prepared.add(statement.text)


def rows(kept: Kept, statement: Statement, values: Values) -> list[Any]:
    """What a statement finds, outside of any transaction."""
    cursor = kept.dbapi.cursor()
    prepare(kept, cursor, statement)
    cursor.execute(statement.text, statement.parameters(values))
    return list(cursor.fetchall())


class Transaction(Protocol):
    """A transaction that has begun.

    :ivar cursor: of the DBAPI; has the result of what was last executed.
    """

    cursor: Any

    def execute(self, statement: Statement, values: Values) -> None:
        """Run a statement whose result is looked at."""

    def later(self, statement: Statement, values: Values) -> None:
        """Run a statement that has no result but an error, which may come with a later one."""

    def changes_one(self, statement: Statement, values: Values) -> bool:
        """Run a statement that has to change one row.

        :returns: whether it did, as far as that is known yet; later it is an error.
        """

    def all_is_said(self) -> None:
        """No statement follows but the one that commits."""

    def commit(self) -> None:
        """End it."""


class OneByOne:
    """Each statement when it is said.

    :param begin: the statement that begins a transaction.
    """

    def __init__(self, kept: Kept, begin: str = "BEGIN") -> None:
        self._kept = kept
        self.cursor: Any = kept.dbapi.cursor()
        self.cursor.execute(begin)

    def execute(self, statement: Statement, values: Values) -> None:
        prepare(self._kept, self.cursor, statement)
        self.cursor.execute(statement.text, statement.parameters(values))

    later = execute

    def changes_one(self, statement: Statement, values: Values) -> bool:
        self.execute(statement, values)
        return bool(self.cursor.rowcount == 1)

    def all_is_said(self) -> None:
        """All has been sent by now."""

    def commit(self) -> None:
        self.cursor.execute("COMMIT")


class Together:
    """Statements that have no result wait for the next that has one, or for the end, and go to the
    server with it in one message: each way to it takes longer than most statements do.

    :param kept: a connection of psycopg2, which writes values into the text itself, so that a text
        can be several statements; the result is the last one's.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.cursor: Any = kept.dbapi.cursor()
        self._waiting: list[bytes] = [b"BEGIN"]
        self._begun = False

    def execute(self, statement: Statement, values: Values) -> None:
        self.later(statement, values)
        self._send()

    def later(self, statement: Statement, values: Values) -> None:
        prepare(self._kept, self.cursor, statement)
        self._waiting.append(self.cursor.mogrify(statement.text, statement.parameters(values)))

    def changes_one(self, statement: Statement, values: Values) -> bool:
        self.later(statement.strict, values)
        return True

    def all_is_said(self) -> None:
        # COMMIT goes in one message with BEGIN only where the connection is known to be alive: if
        # it is lost then, nobody can tell whether the database has committed.
        if not self._begun and not _seems_alive(self._kept):
            self._send()

    def commit(self) -> None:
        self._waiting.append(b"COMMIT")
        self._send()

    def _send(self) -> None:
        message = b"; ".join(self._waiting)
        self._waiting.clear()
        self._begun = True
        self.cursor.execute(message)

    @staticmethod
    def is_unclear(error: Exception) -> bool:
        """Whether a statement failed for what the database has, and it is not known which one."""
        state = getattr(error, "pgcode", None) or ""
        return state == _DIVISION_BY_ZERO or state.startswith(_INTEGRITY)


def _seems_alive(kept: Kept) -> bool:
    """Whether a server that is not asked has said nothing: its last word is the end of the
    connection."""
    if time.monotonic() - kept.since > RECENT:
        return False
    return not _is_readable(kept.dbapi.fileno())


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        # eventlet.monkey_patch() removes it, and its select() takes any descriptor.
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
