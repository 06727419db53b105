"""What ``played_drivers.py`` does and notes. Without Cinder, for the tests."""

from __future__ import annotations

from typing import Any


class Played:
    """What a test says and sees. One for all drivers of a process; :func:`reset` empties it.

    :ivar calls: the names of the methods, in order.
    :ivar seen: method -> what it was given last.
    :ivar fails: method -> what it raises before it does anything.
    :ivar fails_after: the same, once everything is done.
    :ivar answers: method -> what it returns.
    :ivar pool: what the only pool reports besides its capacity.
    :ivar stats: what it reports of all.
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
        self.pool: dict[str, Any] = {}
        self.stats: dict[str, Any] = {}
        self.storage: dict[str, int] = {}
        self.exported: set[str] = set()
        self.mapped: set[tuple[str, str]] = set()


PLAY = Played()


def reset() -> Played:
    """A storage that is empty and does as it is asked."""
    PLAY.__init__()  # type: ignore[misc]
    return PLAY
