"""Tests of searches, their order and their pages."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import pytest

from cinderlib import records
from cinderlib.errors import DamagedRecord, InvalidInput
from cinderlib.persistence import host_key
from cinderlib.persistence.base import PAGE, Put, Query, Remove, Store
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    Owner,
    Record,
    VolumeRecord,
    replace,
)
from cinderlib.testing.store.base import StoreTests
from cinderlib.testing.store.samples import connectors, every_kind, volume


class SearchTests(StoreTests):
    """Searches find all matching records, in order."""

    @pytest.mark.parametrize("kind", [k for k in records.KINDS.values() if k.indexed])
    def test_records_are_found_by_each_indexed_field(
        self, store: Store, kind: type[Record]
    ) -> None:
        self._need_kind(store, kind)
        (example,) = [record for record in every_kind() if type(record) is kind]
        (stored,) = store.apply(Put(replace(example, version=0)))
        for field in kind.indexed:
            other = replace(example, id=records.new_id(), **{field: "elsewhere"})
            (matching,) = store.apply(Put(other))
            assert store.find(kind, {field: "elsewhere"}) == [matching]
            assert store.count(kind, {field: "elsewhere"}) == 1
            store.apply(Remove(kind, matching.id))
            assert store.find(kind, {field: getattr(stored, field)}) == [stored]
        everything = {field: getattr(stored, field) for field in kind.indexed}
        assert store.find(kind, everything) == [stored]
        assert store.find(kind, {**everything, kind.indexed[0]: "elsewhere"}) == []

    def test_a_changed_field_is_found_under_its_new_value_only(self, store: Store) -> None:
        (record,) = store.apply(Put(volume(name="old")))
        (record,) = store.apply(Put(replace(record, name="new", backend="b2")))
        assert store.find(VolumeRecord, {"name": "old"}) == []
        assert store.find(VolumeRecord, {"name": "new"}) == [record]
        assert store.find(VolumeRecord, {"backend": "b1"}) == []

    def test_a_field_without_a_value_matches_no_search(self, store: Store) -> None:
        record = ConnectionRecord(id="c", backend="b", volume_id="v", connector={})
        store.apply(Put(record))
        for value in ("", "None", "null"):
            assert store.find(ConnectionRecord, {"attached_host": value}) == []

    def test_a_field_that_is_not_indexed_is_refused(self, store: Store) -> None:
        for call in (store.find, store.count):
            with pytest.raises(InvalidInput, match="size"):
                call(VolumeRecord, {"size": "1"})

    def test_connections_that_can_be_for_a_host_are_found(self, store: Store) -> None:
        """For connectors with different properties, and connections of another volume."""
        made = [
            ConnectionRecord(
                id=f"c{number}", backend="b", volume_id="v", connector=connector, attached_host=host
            )
            for number, (connector, host) in enumerate(
                itertools.product(connectors(), (None, "a", "b"))
            )
        ]
        elsewhere = replace(made[-1], id="elsewhere", volume_id="other")
        stored = store.apply(*map(Put, [*made, elsewhere]))
        for one in made:
            (found,) = store.query(Query(ConnectionRecord, "volume_id", "v", like=one))
            ids = {each.id for each in found}
            assert found == [each for each in stored if each.id in ids]
            assert ids.isdisjoint(["elsewhere"])
            assert ids.issuperset(each.id for each in made if host_key.same_ports(one, each))
            assert ids.issuperset(each.id for each in made if host_key.same_host(one, each))
            assert one.id in ids

    def test_records_created_in_one_call_keep_their_order(self, store: Store) -> None:
        ids = ["m", "z", "a", "k"]
        store.apply(*(Put(volume(id)) for id in ids))
        assert [v.id for v in store.find(VolumeRecord)] == ids

    def test_records_are_in_the_order_of_creation(self, store: Store) -> None:
        start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
        # Records with the same time are ordered by the code points of their IDs.
        places = [(2, "b"), (1, "z"), (3, "0"), (2, "B"), (2, "ä"), (2, "a"), (0, "y")]
        for seconds, id in places:
            time = start + datetime.timedelta(microseconds=seconds)
            store.apply(Put(volume(id, created_at=time)))
        expected = [id for _, id in sorted(places)]
        assert [v.id for v in store.find(VolumeRecord)] == expected
        assert [v.id for v in store.find(VolumeRecord, {"backend": "b1"})] == expected
        in_pages: list[str] = []
        last = None
        while page := store.find(VolumeRecord, after=last, limit=2):
            last = page[-1]
            in_pages += [v.id for v in page]
        assert in_pages == expected

    def test_a_change_does_not_move_a_record(self, store: Store) -> None:
        written = store.apply(*[Put(volume(f"v{n}")) for n in range(5)])
        store.apply(Put(replace(written[0], created_at=None)))
        assert [v.id for v in store.find(VolumeRecord)] == [f"v{n}" for n in range(5)]

    def test_paging_continues_while_records_are_created_and_removed(self, store: Store) -> None:
        store.apply(*[Put(volume(f"v{n}", name="x")) for n in range(9)])
        first = store.find(VolumeRecord, {"name": "x"}, limit=3)
        assert [v.id for v in first] == ["v0", "v1", "v2"]
        store.apply(
            Remove(VolumeRecord, "v1"),
            Remove(VolumeRecord, "v2"),
            Remove(VolumeRecord, "v3"),
            Put(volume("v9", name="x")),
        )
        second = store.find(VolumeRecord, {"name": "x"}, after=first[-1], limit=3)
        assert [v.id for v in second] == ["v4", "v5", "v6"]
        third = store.find(VolumeRecord, {"name": "x"}, after=second[-1], limit=30)
        assert [v.id for v in third] == ["v7", "v8", "v9"]
        assert store.find(VolumeRecord, after=third[-1]) == []
        assert store.find(VolumeRecord, limit=0) == []

    def test_iteration_returns_each_record_once(self, store: Store) -> None:
        total = 2 * PAGE + 1
        store.apply(*[Put(volume(f"{n:05}", backend=f"b{n % 2}")) for n in range(total)])
        assert [v.id for v in store.iterate(VolumeRecord)] == [f"{n:05}" for n in range(total)]
        assert len(list(store.iterate(VolumeRecord, {"backend": "b1"}))) == PAGE
        assert store.count(VolumeRecord) == total
        assert store.count(VolumeRecord, {"backend": "b0"}) == PAGE + 1
        assert store.count(VolumeRecord, {"backend": "b0", "name": "no"}) == 0

    @pytest.mark.parametrize(
        "damaged", [[0], [1, 2], [2, 3], [5], list(range(6))], ids=lambda which: str(which)
    )
    def test_a_damaged_record_does_not_hide_others(
        self, store: Store, place: Any, damaged: list[int]
    ) -> None:
        self._need("damage")
        written = store.apply(*[Put(volume(f"v{n}", name="x")) for n in range(6)])
        for n in damaged:
            self.damage(place, written[n])
        whole = [record for n, record in enumerate(written) if n not in damaged]
        for where in (None, {"backend": "b1"}, {"name": "x"}):
            assert list(store.iterate(VolumeRecord, where)) == whole
            for page in (1, 2, 3, 6, 7):
                found = list(store.scan(VolumeRecord, where, page=page))
                errors = [each for each in found if isinstance(each, DamagedRecord)]
                assert [each for each in found if each not in errors] == whole
                assert sorted(str(each.resource) for each in errors) == [f"v{n}" for n in damaged]
            assert store.count(VolumeRecord, where) == 6
        assert list(store.iterate(VolumeRecord, limit=2)) == whole[:2]
        if whole:
            assert list(store.iterate(VolumeRecord, after=whole[0])) == whole[1:]
        with pytest.raises(DamagedRecord):
            store.find(VolumeRecord, {"name": "x"})
        id = f"v{damaged[0]}"
        with pytest.raises(DamagedRecord) as caught:
            store.get(VolumeRecord, id)
        assert caught.value.resource == id
        store.apply(Put(volume(id, name="again"), check=False))
        assert store.get(VolumeRecord, id) is not None
        for n in damaged:
            store.apply(Remove(VolumeRecord, f"v{n}"))
        assert store.find(VolumeRecord) == whole

    def test_intents_and_key_values_do_not_mix(self, store: Store) -> None:
        owner = Owner(host="h", boot_id="b", pid=1, start_time=1)
        intent = IntentRecord(
            id="i", operation="volume.create", backend="b1", resource_id="v", lock="v", owner=owner
        )
        (written,) = store.apply(Put(intent))
        assert store.get(KeyValueRecord, "i") is None
        if self._lists(KeyValueRecord):
            assert store.find(KeyValueRecord) == []
            assert store.count(KeyValueRecord) == 0
        assert store.find(IntentRecord, {"resource_id": "v"}) == [written]
        store.apply(Remove(IntentRecord, "i"))
        assert store.find(IntentRecord) == []
