"""An index of intents, for a persistence that cannot list its key-values."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from cinderlib.records import KeyValueRecord, new_id

#: The prefix of the keys of the index.
INDEX_PREFIX = "cinderlib:intents:"
_PROCESSES = INDEX_PREFIX + "processes"


class IntentIndex:
    """Lists of intent IDs under well-known keys.

    Each process has its own list, which no other process writes. One key has the names of these
    lists. Several processes write that key. If one overwrites the entry of another, the other
    restores it with its next intent. A list may contain IDs of removed intents.

    :param read: returns the value of a key, or ``None``.
    :param write: writes a key-value.
    """

    def __init__(
        self, read: Callable[[str], str | None], write: Callable[[KeyValueRecord], Any]
    ) -> None:
        self._read, self._write = read, write
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._name = new_id()
        self._mine: list[str] = []
        #: Whether the persistence has this list. A write that failed may have been executed.
        self._written = True

    def add(self, id: str) -> None:
        """List an intent. Call this before the intent is written."""
        if self._process != os.getpid():
            # This is a child process: the parent continues to use the old list.
            self._begin()
        if id not in self._mine or not self._written:
            self._write_mine([*(each for each in self._mine if each != id), id])
        self.register()

    def register(self) -> None:
        """Make the list of this process known to others. Call this again after the intent was
        written, because another process may have overwritten the names meanwhile."""
        names = self._names()
        if self._name not in names:
            # Drop empty lists, so that the number of names does not increase forever.
            used = [name for name in names if self._list(name)]
            self._write_list(_PROCESSES, [*used, self._name])

    def remove(self, id: str) -> None:
        """Remove the ID of a removed intent from the list."""
        if id in self._mine and self._process == os.getpid():
            self._write_mine([each for each in self._mine if each != id])

    def ids(self) -> Iterator[str]:
        """The IDs of all intents, and of some removed intents."""
        seen: set[str] = set()
        for name in self._names():
            for id in self._list(name):
                if id not in seen:
                    seen.add(id)
                    yield id

    def _names(self) -> list[str]:
        return _texts(self._read(_PROCESSES))

    def _list(self, name: str) -> list[str]:
        return _texts(self._read(INDEX_PREFIX + name))

    def _write_mine(self, ids: list[str]) -> None:
        self._written = False
        self._write_list(INDEX_PREFIX + self._name, ids)
        self._mine, self._written = ids, True

    def _write_list(self, key: str, ids: list[str]) -> None:
        self._write(KeyValueRecord(id=key, value=json.dumps(ids)))


def _texts(value: str | None) -> list[str]:
    try:
        found = json.loads(value or "[]")
    except ValueError:
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
