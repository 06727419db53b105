"""Tests of versions and of transactions."""

from __future__ import annotations

import pytest

from cinderlib.errors import StaleRecord
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.records import (
    KeyValueRecord,
    VolumeRecord,
    replace,
)
from cinderlib.testing.store.base import StoreTests
from cinderlib.testing.store.samples import volume


class VersionTests(StoreTests):
    """No write overwrites a newer one, and a call writes all or nothing."""

    def test_a_version_counts_the_writes(self, store: Store) -> None:
        (record,) = store.apply(Put(volume()))
        assert record.version == 1
        (record,) = store.apply(Put(replace(record, size=2)))
        assert record.version == 2
        assert store.get(VolumeRecord, record.id) == record

    def test_an_old_version_does_not_overwrite_a_new_one(self, store: Store) -> None:
        (old,) = store.apply(Put(volume()))
        (new,) = store.apply(Put(replace(old, size=2)))
        with pytest.raises(StaleRecord) as caught:
            store.apply(Put(replace(old, size=3)))
        assert caught.value.resource == old.id
        assert store.get(VolumeRecord, old.id) == new

    def test_a_new_record_does_not_overwrite_an_existing_one(self, store: Store) -> None:
        (existing,) = store.apply(Put(volume()))
        with pytest.raises(StaleRecord):
            store.apply(Put(volume(existing.id, size=9)))
        assert store.get(VolumeRecord, existing.id) == existing

    def test_a_removed_record_is_not_written_back(self, store: Store) -> None:
        (record,) = store.apply(Put(volume()))
        store.apply(Remove(VolumeRecord, record.id))
        with pytest.raises(StaleRecord):
            store.apply(Put(replace(record, size=2)))
        assert store.get(VolumeRecord, record.id) is None

    def test_an_old_version_is_not_removed(self, store: Store) -> None:
        (old,) = store.apply(Put(volume()))
        (new,) = store.apply(Put(old))
        with pytest.raises(StaleRecord):
            store.apply(Remove(VolumeRecord, old.id, old.version))
        assert store.get(VolumeRecord, old.id) == new
        store.apply(Remove(VolumeRecord, new.id, new.version))
        with pytest.raises(StaleRecord):
            store.apply(Remove(VolumeRecord, new.id, new.version))

    def test_put_without_check_overwrites_records(self, store: Store) -> None:
        (first,) = store.apply(Put(KeyValueRecord(id="k", value="1"), check=False))
        (second,) = store.apply(Put(KeyValueRecord(id="k", value="2"), check=False))
        assert (first.version, second.version) == (1, 2)
        assert second.created_at == first.created_at
        (moved,) = store.apply(Put(volume(version=7), check=False))
        assert moved.version == 1
        assert store.get(KeyValueRecord, "k") == second

    def test_changes_of_one_call_see_each_other(self, store: Store) -> None:
        record = volume()
        first, second = store.apply(Put(record), Put(replace(record, version=1, size=2)))
        assert isinstance(second, VolumeRecord)
        assert (first.version, second.version, second.size) == (1, 2, 2)
        again = store.apply(Remove(VolumeRecord, record.id, 2), Put(record))
        assert store.find(VolumeRecord) == list(again)
        assert store.apply() == ()

    def test_all_changes_are_applied_or_none(self, store: Store) -> None:
        self._need("atomic")
        unchanged, changed, removed = store.apply(Put(volume()), Put(volume()), Put(volume()))
        assert isinstance(changed, VolumeRecord)
        before = store.find(VolumeRecord)
        with pytest.raises(StaleRecord):
            store.apply(
                Put(volume("new", name="new")),
                Put(replace(changed, size=5, backend="other")),
                Remove(VolumeRecord, removed.id),
                Put(replace(unchanged, version=9)),
            )
        assert store.find(VolumeRecord) == before
        assert store.get(VolumeRecord, "new") is None
        assert store.find(VolumeRecord, {"name": "new"}) == []
        assert store.find(VolumeRecord, {"backend": "b1"}) == before
        assert store.get(VolumeRecord, removed.id) == removed
