"""Texts kept under a key in the store: how nodes and controllers leave each other messages."""

from __future__ import annotations

import dataclasses

from cinderlib.records import KeyValueRecord


@dataclasses.dataclass
class KeyValue:
    """A text under a key."""

    key: str
    value: str | None = None

    @property
    def _record(self) -> KeyValueRecord:
        return KeyValueRecord(id=self.key, value=self.value)
