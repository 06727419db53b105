"""Texts with a key in the store, by which nodes and controllers exchange messages."""

from __future__ import annotations

import dataclasses

from cinderlib.records import KeyValueRecord


@dataclasses.dataclass
class KeyValue:
    """A text with a key."""

    key: str
    value: str | None = None

    @property
    def _record(self) -> KeyValueRecord:
        return KeyValueRecord(id=self.key, value=self.value)
