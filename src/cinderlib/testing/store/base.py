"""What the suite needs of a store, and its fixtures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pytest

from cinderlib.persistence.base import Store
from cinderlib.records import KeyValueRecord, OperationRecord, Record

#: Optional capabilities of a store.
CAPABILITIES: Mapping[str, str] = {
    "damage": "the method damage() of the suite can damage a record of the store",
    "list_key_values": "lists key-values without their keys",
    "atomic": "applies a group of changes completely or not at all",
    "durable": "keeps records after it is closed and opened again",
    "shared": "several open stores for the same place have the same records",
}


class StoreTests:
    """The base of the groups of tests."""

    #: The capabilities of the store; tests that need others are skipped.
    supports: Collection[str] = frozenset({"atomic", "list_key_values"})

    def make_store(self, place: Any) -> Store:
        """Open a store.

        :param place: the value of the fixture ``place``: by default a folder for this test. A
            second store for the same place has the same records.
        """
        raise NotImplementedError("the subclass must define make_store(), which opens its store")

    def damage(self, place: Any, record: Record) -> None:
        """Damage a record in the store, as a broken disk or another program can."""
        raise NotImplementedError("a subclass that supports 'damage' must define damage()")

    def _need(self, capability: str) -> None:
        if capability not in self.supports:
            pytest.skip(f"the store does not support {capability}: {CAPABILITIES[capability]}")

    def _keeps(self, store: Store, kind: type[Record]) -> bool:
        return kind is not OperationRecord or store.keeps_history

    def _need_kind(self, store: Store, kind: type[Record]) -> None:
        if not self._keeps(store, kind):
            pytest.skip("the store keeps no history (keeps_history)")

    def _lists(self, kind: type[Record]) -> bool:
        return kind is not KeyValueRecord or "list_key_values" in self.supports

    @pytest.fixture
    def place(self, tmp_path: Any) -> Any:
        return tmp_path

    @pytest.fixture
    def store(self, place: Any) -> Iterator[Store]:
        store = self.make_store(place)
        yield store
        store.close()
