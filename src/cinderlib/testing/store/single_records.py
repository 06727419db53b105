"""Tests of one record: written, read, removed."""

from __future__ import annotations

import pytest

from cinderlib import records
from cinderlib.errors import InvalidInput, Unsupported
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.records import (
    KeyValueRecord,
    Record,
    VolumeRecord,
    replace,
)
from cinderlib.testing.store.base import StoreTests
from cinderlib.testing.store.samples import HOSTILE, every_kind, volume


class SingleRecordTests(StoreTests):
    """Records come back as they were written."""

    @pytest.mark.parametrize("record", every_kind(), ids=lambda record: record.kind)
    def test_a_record_comes_back_as_it_was_written(self, store: Store, record: Record) -> None:
        self._need_kind(store, type(record))
        (written,) = store.apply(Put(record))
        assert written.updated_at is not None
        assert written == replace(record, version=1, updated_at=written.updated_at)
        assert store.get(type(record), record.id) == written
        if self._lists(type(record)):
            assert store.find(type(record)) == [written]

    def test_a_record_exists_only_between_put_and_remove(self, store: Store) -> None:
        record = volume()
        assert store.get(VolumeRecord, record.id) is None
        store.apply(Put(record))
        store.apply(Remove(VolumeRecord, record.id))
        assert store.get(VolumeRecord, record.id) is None
        assert store.find(VolumeRecord) == []
        assert store.find(VolumeRecord, {"backend": "b1"}) == []
        store.apply(Remove(VolumeRecord, record.id))

    def test_kinds_do_not_share_ids(self, store: Store) -> None:
        store.apply(Put(volume("same")), Put(KeyValueRecord(id="same", value="x")))
        store.apply(Remove(VolumeRecord, "same"))
        assert store.get(VolumeRecord, "same") is None
        found = store.get(KeyValueRecord, "same")
        assert found is not None
        assert found.value == "x"

    def test_the_store_sets_the_times_of_records(self, store: Store) -> None:
        before = records.now()
        (first,) = store.apply(Put(volume()))
        (second,) = store.apply(Put(replace(first, size=2)))
        assert first.created_at is not None
        assert first.updated_at is not None
        assert second.updated_at is not None
        assert before <= first.created_at <= records.now()
        assert second.created_at == first.created_at
        assert second.updated_at >= first.updated_at

    def test_a_record_keeps_text_of_any_length(self, store: Store) -> None:
        record = volume(description="d" * 1_000_000, metadata={"key": "ä" * 100_000})
        (written,) = store.apply(Put(record))
        assert store.get(VolumeRecord, record.id) == written

    @pytest.mark.parametrize(
        "id",
        ["", "x" * 256, "nul\0", "surrogate\ud800"],
        ids=["empty", "long", "nul", "surrogate"],
    )
    def test_an_invalid_id_is_refused_before_the_first_write(self, store: Store, id: str) -> None:
        with pytest.raises(InvalidInput):
            store.apply(
                Put(KeyValueRecord(id="fine")), Put(KeyValueRecord(id=id, value="x"), check=False)
            )
        assert store.get(KeyValueRecord, "fine") is None
        assert store.get(KeyValueRecord, id) is None
        store.apply(Remove(KeyValueRecord, id))
        assert store.find(VolumeRecord, {"name": id}) == []

    def test_a_store_that_cannot_list_key_values_raises_an_error(self, store: Store) -> None:
        if self._lists(KeyValueRecord):
            pytest.skip("the store lists key-values")
        with pytest.raises(Unsupported):
            store.find(KeyValueRecord)

    def test_similar_ids_are_different_records(self, store: Store) -> None:
        for id in HOSTILE:
            store.apply(Put(volume(id, name=id, backend=id)))
        for id in HOSTILE:
            found = store.get(VolumeRecord, id)
            assert found is not None
            assert found.id == id
            assert [v.id for v in store.find(VolumeRecord, {"name": id})] == [id]
            assert [v.id for v in store.find(VolumeRecord, {"backend": id, "name": id})] == [id]
            assert store.count(VolumeRecord, {"backend": id}) == 1
        for id in HOSTILE:
            store.apply(Remove(VolumeRecord, id))
            assert store.get(VolumeRecord, id) is None
        assert store.count(VolumeRecord) == 0
