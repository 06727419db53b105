"""Controls and records ``played_drivers.py``. Tests import this without importing Cinder."""

from __future__ import annotations

from typing import Any


class Played:
    """Behaviour and recorded calls of the drivers. There is one per process; :func:`reset` clears
    it.

    :ivar calls: the names of the methods, in order.
    :ivar seen: method -> its last arguments.
    :ivar fails: method -> the exception that it raises at the beginning.
    :ivar fails_after: method -> the exception that it raises at the end.
    :ivar answers: method -> its return value.
    :ivar retyped: the types and arguments of the last retype.
    :ivar pool: additional values that the only pool reports.
    :ivar stats: additional values of the statistics.
    :ivar storage: the volumes and snapshots by name, with their size in GiB.
    :ivar exported: the names of exported volumes.
    :ivar mapped: (name of a volume, host).
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.seen: dict[str, tuple[Any, ...]] = {}
        self.fails: dict[str, BaseException] = {}
        self.fails_after: dict[str, BaseException] = {}
        self.answers: dict[str, Any] = {}
        self.retyped: dict[str, Any] = {}
        self.pool: dict[str, Any] = {}
        self.stats: dict[str, Any] = {}
        self.storage: dict[str, int] = {}
        self.exported: set[str] = set()
        self.mapped: set[tuple[str, str]] = set()


PLAY = Played()


def reset() -> Played:
    """Start again with empty storage and no failures."""
    PLAY.__init__()  # type: ignore[misc]
    return PLAY
