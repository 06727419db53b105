"""Runs the conformance suite with every store."""

from __future__ import annotations

import types

import pytest
import sqlalchemy as sa
from on_server import StoreOnServer

from cinderlib.errors import (
    DamagedRecord,
    InvalidPersistence,
    MissingDependency,
    StaleRecord,
    StoreError,
)
from cinderlib.objects.record_persistence import of_store
from cinderlib.persistence import generate_key, open_store
from cinderlib.persistence.base import Put, Remove, Store
from cinderlib.persistence.driver_base import PersistenceDriverBase
from cinderlib.persistence.etcd.address import parse
from cinderlib.persistence.etcd.layout import Layout
from cinderlib.persistence.memory import MemoryStore
from cinderlib.persistence.object_store import ObjectStore
from cinderlib.persistence.sql import opening
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    Owner,
    Record,
    SnapshotRecord,
    VolumeRecord,
    replace,
)
from cinderlib.testing import StoreConformance
from cinderlib.testing.store import volume

KEY = generate_key()
SERVER = frozenset({"atomic", "list_key_values", "durable", "shared", "damage"})


def damage(url: str, record: Record) -> None:
    """Damage a row as another program could."""
    table = sa.table(f"cinderlib_{record.kind}", sa.column("id"), sa.column("document"))
    found = sa.create_engine(opening.parse(url).url)
    with found.begin() as connection:
        connection.execute(
            sa.update(table).where(table.c.id == record.id).values(document='{"id": "')
        )
    found.dispose()


class TestMemory(StoreConformance):
    def make_store(self, place) -> Store:
        return open_store()


class TestSQLiteInMemory(StoreConformance):
    def make_store(self, place) -> Store:
        return open_store("memory_db")


class TestSQLite(StoreConformance):
    supports = SERVER

    def make_store(self, place) -> Store:
        return open_store({"storage": "db", "connection": f"sqlite:///{place}/cl.sqlite"})

    def damage(self, place, record) -> None:
        damage(f"sqlite:///{place}/cl.sqlite", record)


class TestEncrypted(TestSQLite):
    """With encrypted secrets, in any store."""

    def make_store(self, place) -> Store:
        url = f"sqlite:///{place}/cl.sqlite"
        return open_store({"storage": "db", "connection": url, "encryption_keys": KEY})


class OnServer(StoreOnServer):
    supports = SERVER

    def damage(self, place, record) -> None:
        damage(place, record)


class TestPostgreSQL(OnServer):
    server = "postgresql"


#: On all servers, because each has its own transactions, order, text and errors.
ESSENTIAL = {
    *("test_a_record_comes_back_as_it_was_written", "test_a_record_keeps_text_of_any_length"),
    *("test_similar_ids_are_different_records", "test_all_changes_are_applied_or_none"),
    *(
        "test_an_old_version_does_not_overwrite_a_new_one",
        "test_no_change_of_another_thread_is_lost",
    ),
    *("test_records_are_found_by_each_indexed_field", "test_records_are_in_the_order_of_creation"),
    *("test_a_damaged_record_does_not_hide_others", "test_two_stores_see_the_same_records"),
}


class TestMariaDB(OnServer):
    server = "mariadb"
    fast = ESSENTIAL


class TestEtcd(OnServer):
    server = "etcd"
    fast = ESSENTIAL

    def damage(self, place, record) -> None:
        key = Layout(parse(place).prefix).record(type(record), record.id)
        self.cluster.control("put", key.decode(), '{"id": "')

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def of_cluster(cls, etcd) -> None:
        cls.cluster = etcd


def wrap(record: Record) -> types.SimpleNamespace:
    """An object with the attributes that a persistence class uses."""
    found = types.SimpleNamespace(_record=record, _saved_record=record, id=record.id)
    found._pending = lambda: found._record
    found._adopt = lambda written: setattr(found, "_record", written)
    if isinstance(record, KeyValueRecord):
        found.key, found.value = record.key, record.value
    return found


class TestObjectContract(StoreConformance):
    """A persistence class for cinderlib 5 as a store; the class itself uses a store."""

    supports = frozenset({"atomic", "list_key_values"})

    def make_store(self, place) -> Store:
        store = open_store(UserPersistence())
        assert isinstance(store, ObjectStore)
        store.wrap = wrap
        return store


class TestObjectContractWithoutListing(TestObjectContract):
    """A class whose ``get_key_values`` requires a key, as in the interface of cinderlib 5."""

    supports = frozenset({"atomic"})

    def make_store(self, place) -> Store:
        store = open_store(KeyedPersistence())
        store.wrap = wrap
        return store


class UserPersistence(PersistenceDriverBase):
    """A typical class for cinderlib 5: dicts, without versions and order."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.volumes, self.snapshots, self.connections = {}, {}, {}
        self.key_values = {}

    @staticmethod
    def _filter(items, id, **wanted):
        found = list(items.values())[::-1] if id is None else filter(None, [items.get(id)])
        for item in found:
            if all(getattr(item, k) == v for k, v in wanted.items() if v is not None):
                yield wrap(item)

    def get_volumes(self, volume_id=None, volume_name=None, backend_name=None):
        return self._filter(self.volumes, volume_id, name=volume_name, backend=backend_name)

    def get_snapshots(self, snapshot_id=None, snapshot_name=None, volume_id=None):
        return self._filter(self.snapshots, snapshot_id, name=snapshot_name, volume_id=volume_id)

    def get_connections(self, connection_id=None, volume_id=None):
        return self._filter(self.connections, connection_id, volume_id=volume_id)

    def get_key_values(self, key=None):
        return self._filter(self.key_values, key)

    def set_volume(self, volume):
        assert ("id" in self.get_changed_fields(volume)) == (volume.id not in self.volumes)
        self.volumes[volume.id] = volume._record
        super().set_volume(volume)

    def set_snapshot(self, snapshot):
        self.snapshots[snapshot.id] = snapshot._record
        super().set_snapshot(snapshot)

    def set_connection(self, connection):
        self.connections[connection.id] = connection._record
        super().set_connection(connection)

    def set_key_value(self, key_value):
        self.key_values[key_value.key] = key_value._record

    def delete_volume(self, volume):
        del self.volumes[volume.id]
        super().delete_volume(volume)

    def delete_snapshot(self, snapshot):
        del self.snapshots[snapshot.id]
        super().delete_snapshot(snapshot)

    def delete_connection(self, connection):
        del self.connections[connection.id]
        super().delete_connection(connection)

    def delete_key_value(self, key):
        del self.key_values[key]


class KeyedPersistence(UserPersistence):
    def get_key_values(self, key):
        assert key is not None
        return super().get_key_values(key)


class TestObjectsOnAStore:
    """The use of ``Backend.persistence`` in programs."""

    @pytest.fixture
    def persistence(self) -> PersistenceDriverBase:
        return of_store(open_store(), wrap)

    def test_objects_are_found_by_exact_values(self, persistence) -> None:
        for n, backend in enumerate(("z_1", "zx1")):
            persistence.set_volume(wrap_new(volume(f"v{n}", name="n%", backend=backend)))
        persistence.set_volume(wrap_new(volume("v2", name="nn", backend="z_1")))

        def ids(**asked) -> list[str]:
            return [found.id for found in persistence.get_volumes(**asked)]

        assert ids() == ["v0", "v1", "v2"]
        assert ids(backend_name="z_1") == ["v0", "v2"]
        assert ids(volume_name="n%") == ["v0", "v1"]
        assert ids(volume_name="n%", backend_name="zx1") == ["v1"]
        assert ids(volume_id="v0") == ["v0"]
        assert ids(volume_id="v0", backend_name="zx1") == []
        assert ids(volume_id="") == ids(volume_name="") == ids(volume_id="%") == []

    def test_snapshots_and_connections_are_found_by_their_volume(self, persistence) -> None:
        for n in range(2):
            snapshot = SnapshotRecord(
                id=f"s{n}", name="same", backend="b", volume_id=f"v{n}", volume_size=1
            )
            connection = ConnectionRecord(id=f"c{n}", backend="b", volume_id=f"v{n}", connector={})
            persistence.set_snapshot(wrap_new(snapshot))
            persistence.set_connection(wrap_new(connection))
        assert [s.id for s in persistence.get_snapshots(snapshot_name="same")] == ["s0", "s1"]
        assert [s.id for s in persistence.get_snapshots(volume_id="v1")] == ["s1"]
        assert [c.id for c in persistence.get_connections(volume_id="v1")] == ["c1"]
        persistence.delete_snapshot(persistence.get_snapshots("s0")[0])
        persistence.delete_connection(persistence.get_connections("c0")[0])
        assert [s.id for s in persistence.get_snapshots()] == ["s1"]
        assert [c.id for c in persistence.get_connections()] == ["c1"]

    def test_changes_are_tracked_until_they_are_saved(self, persistence) -> None:
        new = wrap_new(volume("v", name="n"))
        assert persistence.get_changed_fields(new).items() >= {"id": "v", "name": "n"}.items()
        persistence.set_volume(new)
        assert persistence.get_changed_fields(new) == {}
        new._record = replace(new._record, size=7)
        assert persistence.get_changed_fields(new) == {"size": 7}
        persistence.set_volume(new)
        assert persistence.get_volumes("v")[0]._record.size == 7

    def test_a_stale_object_is_not_saved(self, persistence) -> None:
        persistence.set_volume(wrap_new(volume("v")))
        one, other = persistence.get_volumes("v") + persistence.get_volumes("v")
        persistence.set_volume(one)
        with pytest.raises(StaleRecord):
            persistence.set_volume(other)

    def test_the_last_key_value_written_is_kept(self, persistence) -> None:
        for value in ("1", "2"):
            persistence.set_key_value(types.SimpleNamespace(key="k", value=value))
        (found,) = persistence.get_key_values("k")
        assert (found.key, found.value) == ("k", "2")
        persistence.delete_key_value(found)
        persistence.set_key_value(types.SimpleNamespace(key="l", value="3"))
        persistence.delete_key_value("l")
        assert persistence.get_key_values() == []


def wrap_new(record: Record) -> types.SimpleNamespace:
    found = wrap(record)
    found._saved_record = None
    return found


class TestForeignPersistence:
    def test_its_own_attributes_of_an_object_are_kept_until_the_next_save(self) -> None:
        class Remembering(UserPersistence):
            def get_volumes(self, *args, **kwargs):
                for found in super().get_volumes(*args, **kwargs):
                    found.resource_version = 42
                    yield found

            def set_volume(self, volume):
                self.seen = getattr(volume, "resource_version", None)
                super().set_volume(volume)

        persistence = Remembering()
        store = ObjectStore(persistence, wrap)
        (record,) = store.apply(Put(volume("v")))
        assert persistence.seen is None
        store.apply(Put(record))
        assert persistence.seen == 42

    def test_its_exceptions_become_ours_without_their_text(self) -> None:
        class Broken(UserPersistence):
            def get_volumes(self, *args, **kwargs):
                raise RuntimeError("password=hunter2")

        with pytest.raises(StoreError, match=r"get_volumes: RuntimeError") as caught:
            ObjectStore(Broken(), wrap).get(VolumeRecord, "v")
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("failures", [1, 2, 3, 1000])
    @pytest.mark.parametrize("done", [False, True], ids=["before", "after the work"])
    @pytest.mark.parametrize("parent", [UserPersistence, KeyedPersistence])
    def test_a_group_of_changes_that_fails_is_rolled_back(self, parent, done, failures) -> None:
        class Failing(parent):
            """After ``skip`` writes, the next ``left`` writes fail."""

            left, skip = 0, 0

            def _failing(self, write, *args):
                fails = not self.skip and self.left
                if self.skip:
                    self.skip -= 1
                elif self.left:
                    self.left -= 1
                if done or not fails:
                    write(*args)
                if fails:
                    raise OSError("down")

            def set_volume(self, volume):
                self._failing(super().set_volume, volume)

            def delete_volume(self, volume):
                self._failing(super().delete_volume, volume)

            def set_key_value(self, key_value):
                self._failing(super().set_key_value, key_value)

            def delete_key_value(self, key):
                self._failing(super().delete_key_value, key)

        def everything():
            return [*store.find(VolumeRecord), *store.find(IntentRecord)]

        persistence = Failing()
        store = ObjectStore(persistence, wrap)
        intents = [_intent("one"), _intent("two")]
        changed, gone, _ = store.apply(Put(volume("a")), Put(volume("b")), Put(intents[0]))
        changes = (
            Put(intents[1]),
            Put(replace(changed, size=7)),
            Put(volume("c")),
            Remove(VolumeRecord, gone.id),
            Remove(IntentRecord, "one"),
        )
        before = everything()
        for skip in range(20):
            persistence.skip, persistence.left = skip, failures
            try:
                store.apply(*changes)
            except StoreError:
                persistence.skip = persistence.left = 0
                assert everything() == before
                assert everything() == [
                    *ObjectStore(persistence, wrap).find(VolumeRecord),
                    *before[2:],
                ]
            else:
                break
        assert skip > len(changes) - 1
        assert {record.id for record in everything()} == {"a", "c", "two"}

    def test_a_damaged_intent_does_not_hide_others(self) -> None:
        persistence = UserPersistence()
        store = ObjectStore(persistence, wrap)
        store.apply(Put(_intent("one")), Put(_intent("two")))
        key = "cinderlib:intent:one"
        persistence.key_values[key] = KeyValueRecord(id=key, value="{")
        assert [intent.id for intent in store.iterate(IntentRecord)] == ["two"]
        with pytest.raises(DamagedRecord, match="'one'"):
            store.find(IntentRecord)
        assert store.count(IntentRecord) == 2


class TestOpening:
    @pytest.mark.parametrize("config", [None, "memory", {"storage": "memory"}, {}, MemoryStore])
    def test_memory(self, config) -> None:
        assert isinstance(open_store(config), MemoryStore)

    def test_existing_stores_are_used_unchanged(self) -> None:
        store = MemoryStore()
        assert open_store(store) is store
        assert open_store({"storage": store}) is store
        persistence = UserPersistence()
        assert open_store({"storage": persistence}).persistence is persistence

    def test_classes_get_the_other_arguments(self, tmp_path) -> None:
        class Mine(UserPersistence):
            def __init__(self, **kwargs) -> None:
                super().__init__(**kwargs)
                self.arguments = kwargs

        store = open_store({"storage": Mine, "namespace": "x"})
        assert store.persistence.arguments == {"namespace": "x"}
        path = "cinderlib.persistence.memory:MemoryStore"
        assert isinstance(open_store({"storage": path}), MemoryStore)

    def test_the_configuration_is_not_changed(self) -> None:
        config = {"storage": "memory"}
        open_store(config)
        assert config == {"storage": "memory"}

    @pytest.mark.parametrize(
        ("config", "problem"),
        [
            ("sqlite", "Unknown persistence 'sqlite'.*db, memory, memory_db"),
            ("sqlite:///x", "'storage': 'db', 'connection': URL"),
            ({"storage": "nowhere.at.all:Store"}, "nowhere.*Known:"),
            ({"storage": "json:Store"}, "'json' has no persistence 'Store'"),
            ({"storage": "json:dumps"}, "neither"),
            ({"storage": 3}, "3 is neither"),
            ({"storage": object}, "neither"),
            ({"storage": "db"}, "needs a 'connection'"),
            ({"storage": "db", "connection": "no url"}, "not a database URL"),
            ({"storage": "db", "connection": "oracle://host/x"}, "'oracle' database"),
            ({"storage": "db", "connection": "sqlite+no://host/x"}, "no"),
            ({"storage": "db", "url": "sqlite://u:hunter2@/"}, "url"),
            ({"storage": MemoryStore(), "connection": "x"}, "takes no connection"),
        ],
    )
    def test_mistakes_are_reported(self, config, problem) -> None:
        with pytest.raises(InvalidPersistence, match=problem) as caught:
            open_store(config)
        assert "hunter2" not in str(caught.value)

    def test_a_missing_database_package_is_named(self) -> None:
        config = {"storage": "db", "connection": "mysql+mysqldb://u:hunter2@h/x"}
        with pytest.raises(MissingDependency, match=r"MySQLdb.* pip install mysqlclient") as caught:
            open_store(config)
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "package", "supported"),
        [
            ("postgresql+asyncpg://u:hunter2@h/x", "asyncpg", "psycopg2-binary"),
            ("postgresql+psycopg_async://u:hunter2@h/x", "psycopg_async", "pg8000"),
            ("mysql+aiomysql://u:hunter2@h/x", "aiomysql", "PyMySQL"),
            ("mariadb+mysqlconnector://u:hunter2@h/x", "mysqlconnector", "mariadbconnector"),
            ("mysql+nosuch://u:hunter2@h/x", "nosuch", "mysqlclient"),
        ],
    )
    def test_other_packages_are_refused(self, url, package, supported) -> None:
        with pytest.raises(InvalidPersistence, match=f"'{package}'.*{supported}") as caught:
            open_store({"storage": "db", "connection": url})
        assert "hunter2" not in str(caught.value)


def _intent(id: str) -> IntentRecord:
    owner = Owner(host="h", boot_id="b", pid=1, start_time=1)
    return IntentRecord(
        id=id, operation="volume.create", backend="b", resource_id="v", lock="l", owner=owner
    )
