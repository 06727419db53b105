"""The conformance suite for metadata stores, which tests the contract of
:class:`cinderlib.persistence.base.Store`.

The author of a store runs it with a few lines::

    from cinderlib.testing.store import StoreConformance

    class TestMyStore(StoreConformance):
        supports = frozenset({"atomic", "durable", "shared"})

        def make_store(self, place):
            return MyStore(folder=place)
"""

from __future__ import annotations

import contextlib
import datetime
import itertools
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

import pytest

from cinderlib import records
from cinderlib.errors import DamagedRecord, InvalidInput, StaleRecord, StoreError, Unsupported
from cinderlib.persistence import host_key
from cinderlib.persistence.base import PAGE, Put, Query, Remove, Store
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    Owner,
    Record,
    Secret,
    SnapshotRecord,
    VolumeRecord,
    replace,
)

R = TypeVar("R", bound=Record)

#: Optional capabilities of a store.
CAPABILITIES: Mapping[str, str] = {
    "damage": "the method damage() of the suite can damage a record of the store",
    "list_key_values": "lists key-values without their keys",
    "atomic": "applies a group of changes completely or not at all",
    "durable": "keeps records after it is closed and opened again",
    "shared": "several open stores for the same place have the same records",
}

#: Time limit for a store that hangs, in seconds.
TIMEOUT = 60

#: IDs and names that a store could confuse with patterns, paths or SQL, or with each other.
HOSTILE = (
    "../../etc/passwd",
    "%",
    "_",
    "a_c",
    "abc",
    "ABC",
    "Abc",
    "abc ",
    " abc",
    "äbc",
    "a\u0308bc",
    "'; DROP TABLE cinderlib_volume; --",
    'quote " and \\ backslash',
    "line\nfeed\ttab",
    "*",
    "?",
    "%s %(id)s :id {id}",
    "\U0001f4be" * 255,
    "x" * 255,
    "x" * 254 + "y",
    "cinderlib",
    "0",
    "null",
)


def volume(id: str = "", **fields: Any) -> VolumeRecord:
    """A new volume with these fields, and default values for the others."""
    fields = {"backend": "b1", "size": 1, "host": "h@b1#p", **fields}
    return VolumeRecord(id=id or records.new_id(), **fields)


def _connectors() -> Iterator[dict[str, Any]]:
    """Connectors of two hosts, with different sets of properties."""
    properties = {
        "system uuid": ("uuid-1", "uuid-2"),
        "initiator": ("iqn.one", "iqn.two"),
        "wwpns": (["5001"], ["5001", "5002"]),
        "host": ("one", "\u2603"),
    }
    for size in range(3):
        for names in itertools.combinations(properties, size):
            for values in itertools.product(*[properties[name] for name in names]):
                yield dict(zip(names, values, strict=True))


def every_kind() -> list[Record]:
    """One record of each kind, with values in all fields, including secrets and unusual text."""
    time = datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=datetime.UTC)
    text = "żółć \U0001f4be \u202e \"quoted\" 'single' %s \\ \u0000 \x7f"
    found: list[Record] = []
    for kind in records.KINDS.values():
        values: dict[str, Any] = {}
        for name, type_ in kind.__annotations__.items():
            if "ClassVar" in type_ or name in kind.indexed:
                continue
            if "Secret" in type_:
                values[name] = Secret({"password": text, "nested": [1, None, {"a": True}]})
            elif "Owner" in type_:
                values[name] = Owner(host=text, boot_id="b", pid=1, start_time=2**40)
            elif "datetime" in type_:
                values[name] = time
            elif "dict" in type_:
                values[name] = {"key": text, "": "empty"}
            elif "bool" in type_:
                values[name] = True
            elif "int" in type_:
                values[name] = 2**31
            else:
                values[name] = text
        values |= {field: f"{field} {kind.kind}" for field in kind.indexed}
        found.append(kind(id=records.new_id(), created_at=time, updated_at=time, **values))
    return found


class StoreConformance:
    """The suite. Give the subclass a name that pytest collects."""

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

    # --- one record ----------------------------------------------------------------------------

    @pytest.mark.parametrize("record", every_kind(), ids=lambda record: record.kind)
    def test_a_record_comes_back_as_it_was_written(self, store: Store, record: Record) -> None:
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

    # --- versions ------------------------------------------------------------------------------

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

    # --- searching -----------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", [k for k in records.KINDS.values() if k.indexed])
    def test_records_are_found_by_each_indexed_field(
        self, store: Store, kind: type[Record]
    ) -> None:
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
                itertools.product(_connectors(), (None, "a", "b"))
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

    # --- many at once --------------------------------------------------------------------------

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

    # --- more than one store -------------------------------------------------------------------

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
            written = store.apply(*map(Put, every_kind()))
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
