"""Tests with several threads, and with several stores for one place."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cinderlib.errors import StaleRecord, StoreError
from cinderlib.persistence.base import Put, Store
from cinderlib.records import (
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    replace,
)
from cinderlib.testing.store.base import StoreTests
from cinderlib.testing.store.samples import every_kind, volume

#: Time limit for a store that hangs, in seconds.
TIMEOUT = 60


def increment(store: Store, id: str, times: int = 1) -> None:
    """Increase the size of a volume, and repeat it if another writer changed the record."""
    for _ in range(times):
        while True:
            record = store.get(VolumeRecord, id)
            assert record is not None
            try:
                store.apply(Put(replace(record, size=record.size + 1)))
            except StaleRecord:
                continue
            break


def in_threads(*work: Callable[[], None]) -> None:
    """Run functions in concurrent threads, and raise the first error."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(work))

    def run(function: Callable[[], None]) -> None:
        try:
            barrier.wait(TIMEOUT)
            function()
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive(), "a thread hangs in the store"
    if errors:
        raise errors[0]


class ConcurrencyTests(StoreTests):
    """No change of another thread or store is lost."""

    def test_no_change_of_another_thread_is_lost(self, store: Store) -> None:
        (record,) = store.apply(Put(volume()))
        threads, times = 8, 10

        def work() -> None:
            for _ in range(times):
                increment(store, record.id)

        in_threads(*[work] * threads)
        found = store.get(VolumeRecord, record.id)
        assert found is not None
        assert found.size == 1 + threads * times
        assert found.version == found.size

    def test_only_one_thread_creates_a_record(self, store: Store) -> None:
        winners: list[Record] = []

        def work() -> None:
            for n in range(10):
                new = SnapshotRecord(id=f"s{n}", backend="b", volume_id="v", volume_size=1)
                with contextlib.suppress(StaleRecord):
                    winners.extend(store.apply(Put(new)))

        in_threads(*[work] * 6)
        assert sorted(record.id for record in winners) == [f"s{n}" for n in range(10)]

    def test_writes_without_a_check_all_succeed(self, store: Store) -> None:
        def work() -> None:
            for n in range(10):
                store.apply(Put(KeyValueRecord(id=f"k{n % 3}", value="x"), check=False))

        in_threads(*[work] * 6)
        found = [store.get(KeyValueRecord, f"k{n}") for n in range(3)]
        assert sum(each.version for each in found if each) == 60

    def test_a_closed_store_raises_an_error(self, store: Store) -> None:
        store.apply(Put(volume("v")))
        store.close()
        calls: list[Callable[[], Any]] = [
            lambda: store.get(VolumeRecord, "v"),
            lambda: store.find(VolumeRecord),
            lambda: store.count(VolumeRecord),
            lambda: store.apply(Put(volume())),
        ]
        for call in calls:
            with pytest.raises(StoreError, match="closed"):
                call()
        store.close()

    def test_records_outlive_the_store(self, place: Any) -> None:
        self._need("durable")
        with self.make_store(place) as store:
            written = store.apply(*[Put(r) for r in every_kind() if self._keeps(store, type(r))])
        with self.make_store(place) as store:
            for record in written:
                assert store.get(type(record), record.id) == record

    def test_two_stores_see_the_same_records(self, store: Store, place: Any) -> None:
        self._need("shared")
        assert store.shared
        with self.make_store(place) as other:
            (record,) = store.apply(Put(volume()))
            assert other.get(VolumeRecord, record.id) == record
            (changed,) = other.apply(Put(replace(record, size=2)))
            with pytest.raises(StaleRecord):
                store.apply(Put(replace(record, size=3)))
            assert store.find(VolumeRecord) == [changed]
            in_threads(*[lambda s=s: increment(s, record.id, 20) for s in (store, other)])
            found = store.get(VolumeRecord, record.id)
            assert found is not None
            assert found.size == 42
