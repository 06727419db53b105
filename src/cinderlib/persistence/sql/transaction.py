"""Sends statements to the database."""

from __future__ import annotations

import select
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cinderlib.persistence.sql.connections import Kept
from cinderlib.persistence.sql.statements import Statement

Values = Mapping[str, Any]

#: Seconds after which a firewall or proxy on the path may have dropped an idle connection.
RECENT = 10.0

#: PostgreSQL's ``division_by_zero``.
_DIVISION_BY_ZERO = "22012"
#: The prefix of all PostgreSQL states for a violated constraint.
_INTEGRITY = "23"


def prepare(kept: Kept, cursor: Any, statement: Statement) -> None:
    """Prepare a statement on a connection, if that is necessary."""
    if statement.prepare is not None and statement.text not in kept.prepared:
        cursor.execute(statement.prepare)
        kept.prepared.add(statement.text)


def rows(kept: Kept, statement: Statement, values: Values) -> list[Any]:
    """The rows that a statement returns, outside any transaction."""
    cursor = kept.dbapi.cursor()
    prepare(kept, cursor, statement)
    cursor.execute(statement.text, statement.parameters(values))
    return list(cursor.fetchall())


class Transaction(Protocol):
    """An open transaction.

    :ivar cursor: of the DBAPI; it has the result of the last executed statement.
    """

    cursor: Any

    def expect_many(self) -> None:
        """Called before the first statement of a large transaction."""

    def execute(self, statement: Statement, values: Values) -> None:
        """Run a statement whose result is needed now."""

    def later(self, statement: Statement, values: Values) -> None:
        """Run a statement without a result. An error may only be raised by a later statement."""

    def changes_one(self, statement: Statement, values: Values) -> bool:
        """Run a statement that must change one row.

        :returns: whether it did. If it is sent later, ``True``; a failure is then raised later.
        """

    def before_commit(self) -> None:
        """Called after the last statement before the commit."""

    def commit(self) -> None:
        """Commit."""


class OneByOne:
    """Sends each statement immediately.

    :param begin: the statement that begins a transaction.
    :param for_many: statements that make a large transaction faster.
    """

    def __init__(self, kept: Kept, begin: str = "BEGIN", for_many: Sequence[str] = ()) -> None:
        self._kept = kept
        self._for_many = for_many
        self.cursor: Any = kept.dbapi.cursor()
        self.cursor.execute(begin)

    def expect_many(self) -> None:
        for setting in self._for_many:
            self.cursor.execute(setting)

    def execute(self, statement: Statement, values: Values) -> None:
        if statement.prepare is not None:
            prepare(self._kept, self.cursor, statement)
        self.cursor.execute(statement.text, statement.parameters(values))

    later = execute

    def changes_one(self, statement: Statement, values: Values) -> bool:
        self.execute(statement, values)
        return bool(self.cursor.rowcount == 1)

    def before_commit(self) -> None:
        """All statements were already sent."""

    def commit(self) -> None:
        self.cursor.execute("COMMIT")


class Together:
    """Sends statements together: statements without a result wait for the next one with a result,
    or for the end. One round trip takes longer than most statements.

    :param kept: a connection of psycopg2. It formats values on the client, so one text can contain
        several statements; the result belongs to the last one.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.cursor: Any = kept.dbapi.cursor()
        self._waiting: list[bytes] = [b"BEGIN"]
        self._begun = False

    def expect_many(self) -> None:
        """It is sent in one message anyway."""

    def execute(self, statement: Statement, values: Values) -> None:
        self.later(statement, values)
        self._send()

    def later(self, statement: Statement, values: Values) -> None:
        prepare(self._kept, self.cursor, statement)
        self._waiting.append(self.cursor.mogrify(statement.text, statement.parameters(values)))

    def changes_one(self, statement: Statement, values: Values) -> bool:
        self.later(statement.strict, values)
        return True

    def before_commit(self) -> None:
        # COMMIT is sent in one message with BEGIN only if the connection is known to be alive. If
        # the connection is lost then, it is unknown whether the database committed.
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
        """Whether a statement failed because of existing rows, and it is unknown which one."""
        state = getattr(error, "pgcode", None) or ""
        return state == _DIVISION_BY_ZERO or state.startswith(_INTEGRITY)


def _seems_alive(kept: Kept) -> bool:
    """Whether an idle server has sent nothing: the last thing that it sends is the end of the
    connection."""
    if time.monotonic() - kept.since > RECENT:
        return False
    return not _is_readable(kept.dbapi.fileno())


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):
        # eventlet.monkey_patch() removes poll(), and its select() accepts any descriptor.
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
