"""Stores in SQL databases: concurrent start, upgrades, failures."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import alembic.command  # imported here for forked processes
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from cinderlib.errors import (
    CinderlibError,
    DamagedRecord,
    InvalidPersistence,
    MissingDependency,
    StoreError,
    StoreNotFound,
)
from cinderlib.locking.files import FileLocks
from cinderlib.locking.locks import STRIPES
from cinderlib.persistence import open_store, upgrade_store
from cinderlib.persistence.base import Put, Query, Remove, Store, from_micros
from cinderlib.persistence.sql import columns, database, schema, upgrade
from cinderlib.persistence.sql import store as sql_store
from cinderlib.persistence.sql.opening import parse
from cinderlib.records import (
    ConnectionRecord,
    IntentRecord,
    KeyValueRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    encode,
    replace,
)
from cinderlib.testing.store import in_threads, increment, volume

SERVERS = ("postgresql", pytest.param("mariadb", marks=pytest.mark.slow))


def open_url(url: str, **options) -> Store:
    return open_store({"storage": "db", "connection": url, **options})


@pytest.fixture
def engine(url: str) -> Iterator[Callable[[], sa.Engine]]:
    """Direct access to the same database."""
    engine = sa.create_engine(parse(url).url, poolclass=sa.NullPool)
    yield engine
    engine.dispose()


def in_processes(number: int, work: Callable[[], None]) -> None:
    """Run ``work`` in ``number`` processes at the same time, and fail if one of them fails."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(number)
    failures = context.SimpleQueue()

    def run() -> None:
        try:
            barrier.wait(30)
            work()
        except BaseException:
            failures.put(traceback.format_exc())
            raise

    processes = [context.Process(target=run) for _ in range(number)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
        if process.exitcode is None:
            process.kill()
            pytest.fail("a process hangs")
    assert all(process.exitcode == 0 for process in processes), failures.get()


# --- start ---------------------------------------------------------------------------------------


def test_eight_processes_open_an_empty_database_at_once(url: str) -> None:
    def work() -> None:
        with open_url(url) as store:
            store.apply(Put(volume(f"v{os.getpid()}")))

    in_processes(8, work)
    with open_url(url) as store:
        assert store.count(VolumeRecord) == 8


def test_eight_processes_finish_an_upgrade_that_was_cut_short(url: str, engine: sa.Engine) -> None:
    open_url(url).close()
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE cinderlib_schema"))
        connection.execute(sa.text("DROP TABLE cinderlib_alembic"))
        connection.execute(sa.text("DROP TABLE cinderlib_volume"))
        on = " ON cinderlib_snapshot" if engine.dialect.name == "mysql" else ""
        connection.execute(sa.text("DROP INDEX cinderlib_snapshot_by_age" + on))
    in_processes(8, lambda: open_url(url).close())
    assert not differences(engine)


def differences(engine: sa.Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": "cinderlib_alembic",
                "include_name": lambda name, kind, _: kind != "table" or name.startswith("cind"),
            },
        )
        return compare_metadata(context, schema.metadata)


def test_the_migrations_create_the_schema(url: str, engine: sa.Engine) -> None:
    open_url(url).close()
    assert not differences(engine)


def test_a_new_sqlite_database_has_the_tables_of_the_migrations(tmp_path: Path) -> None:
    found = []
    for name in ("new", "migrated"):
        file = tmp_path / f"{name}.sqlite"
        url = f"sqlite:///{file}"
        if name == "migrated":
            engine = sa.create_engine(url)
            upgrade.ensure(engine, url, 10.0, create=True)
            engine.dispose()
        else:
            open_url(url).close()
        with contextlib.closing(sqlite3.connect(file)) as connection:
            texts = connection.execute("SELECT sql FROM sqlite_master ORDER BY rowid").fetchall()
            rows = [
                connection.execute(f"SELECT * FROM cinderlib_{table}").fetchall()
                for table in ("schema", "alembic")
            ]
            mode = connection.execute("PRAGMA journal_mode").fetchall()
        found.append(([re.sub(r"\s", "", text) for (text,) in texts if text], rows, mode))
    assert found[0] == found[1]


def test_tables_of_other_programs_stay(url: str, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE volumes (id INTEGER)"))
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num VARCHAR(9))"))
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('cinder')"))
    with open_url(url) as store:
        store.apply(Put(volume()))
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "cinder"
        names = set(sa.inspect(connection).get_table_names())
    ours = {name for name in names if name.startswith("cinderlib_")}
    assert names - ours == {"volumes", "alembic_version"}


def test_a_current_database_is_opened_without_alembic(sqlite_url: str) -> None:
    open_url(sqlite_url).close()
    program = (
        "import sys; from cinderlib.persistence import open_store;"
        f"open_store({{'storage': 'db', 'connection': {sqlite_url!r}}});"
        "print([name for name in ('alembic', 'cinder', 'os_brick', 'sqlalchemy.orm')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b"[]"


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A future version of the library with one more migration."""
    migrations = tmp_path / "migrations"
    shutil.copytree(upgrade.MIGRATIONS, migrations)
    version = columns.VERSION + 1
    (migrations / "versions" / f"v{version:04}_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f"revision, down_revision = '{version:04}', '{columns.VERSION:04}'\n\n\n"
        "def upgrade():\n"
        "    op.add_column('cinderlib_volume', sa.Column('colour', sa.String(9)))\n"
        f"    op.execute('UPDATE cinderlib_schema SET version = {version}')\n"
    )
    monkeypatch.setattr(upgrade, "MIGRATIONS", migrations)
    monkeypatch.setattr(upgrade, "VERSION", version)
    monkeypatch.setattr(sql_store, "VERSION", version)
    monkeypatch.setattr(database, "VERSION", version)


def test_an_older_schema_is_upgraded(
    url: str, engine: sa.Engine, request: pytest.FixtureRequest
) -> None:
    config = {"storage": "db", "connection": url}
    this, following = columns.VERSION, columns.VERSION + 1
    assert upgrade_store(config, dry_run=True) == (None, this)
    assert not sa.inspect(engine).get_table_names()
    with open_url(url) as store:
        (old,) = store.apply(Put(volume("old")))
    request.getfixturevalue("next_version")

    def names() -> set[str]:
        return {column["name"] for column in sa.inspect(engine).get_columns("cinderlib_volume")}

    assert upgrade_store(config, dry_run=True) == (this, following)
    assert "colour" not in names()
    assert upgrade_store(config) == (this, following)
    assert "colour" in names()
    assert upgrade_store(config) == (following, following)
    with open_url(url) as store:
        assert store.get(VolumeRecord, "old") == old


@pytest.fixture
def first_version(engine: sa.Engine) -> None:
    """A database with the first version of the schema and connections of ten hosts."""
    config = Config()
    config.set_main_option("script_location", str(upgrade.MIGRATIONS))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0001")
        connection.commit()
    write_as_the_first_version(engine, *map(connection_of, range(10)))


def write_as_the_first_version(engine: sa.Engine, *connections: ConnectionRecord) -> None:
    fields = ("id", "version", "created_at", "backend", "volume_id", "document")
    rows = [
        {
            "id": each.id, "version": 1, "created_at": int(each.id[1:]), "backend": "b1",
            "volume_id": each.volume_id, "document": encode(replace(each, version=1)).decode(),
        }
        for each in connections
    ]  # fmt: skip
    with engine.begin() as connection:
        table = sa.table("cinderlib_connection", *map(sa.column, fields))
        connection.execute(sa.insert(table), rows)


def connection_of(number: int) -> ConnectionRecord:
    return ConnectionRecord(
        id=f"c{number}",
        backend="b1",
        volume_id="v",
        connector={"initiator": f"iqn.{number}", "host": "localhost"},
        created_at=from_micros(number),
    )


def like(store: Store, connection: ConnectionRecord) -> list[str]:
    """The IDs of the connections that may belong to the same host."""
    query = Query(ConnectionRecord, "volume_id", connection.volume_id, like=connection)
    (found,) = store.query(query)
    return [each.id for each in found]


def test_hosts_are_found_in_a_database_of_the_first_version(
    url: str, engine: sa.Engine, first_version: None
) -> None:
    with engine.begin() as connection:
        damaged = "UPDATE cinderlib_connection SET volume_id = 'w', document = 'x' WHERE id = 'c7'"
        connection.execute(sa.text(damaged))
    with open_url(url) as store:
        assert not differences(engine)
        assert like(store, replace(connection_of(3), id="new")) == ["c3"]
        with pytest.raises(DamagedRecord):
            like(store, replace(connection_of(3), volume_id="w"))


def test_a_host_that_the_first_version_connected_meanwhile_is_found(
    url: str, engine: sa.Engine, first_version: None
) -> None:
    with open_url(url) as store:
        write_as_the_first_version(engine, connection_of(10))
        assert like(store, replace(connection_of(10), id="new")) == ["c10"]


def test_only_connections_that_can_match_the_host_are_read(url: str) -> None:
    with open_url(url) as store:
        store.apply(*[Put(connection_of(number)) for number in range(50)])
        assert like(store, replace(connection_of(3), id="new")) == ["c3"]
        assert like(store, replace(connection_of(99), id="new")) == []
        moved = replace(connection_of(4), version=1, connector={"initiator": "iqn.99"})
        store.apply(Put(moved))
        assert like(store, replace(connection_of(99), id="new")) == ["c4"]
        assert like(store, replace(connection_of(4), id="new")) == []


def test_a_compatible_newer_schema_is_used(url: str, engine: sa.Engine) -> None:
    with open_url(url) as store:
        (old,) = store.apply(Put(volume("old")))
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE cinderlib_volume ADD COLUMN colour VARCHAR(9)"))
        connection.execute(
            sa.update(schema.schema_table).values(version=columns.VERSION + 1, min_reader=1)
        )
        document = schema.TABLES[VolumeRecord].c.document
        newer = '{"colour": "red",' + connection.scalar(sa.select(document))[1:]
        connection.execute(sa.update(schema.TABLES[VolumeRecord]).values(document=newer))
    with open_url(url) as store:
        assert store.get(VolumeRecord, "old") == old
        store.apply(Put(replace(old, size=5)), Put(volume("new")))
        assert [v.id for v in store.find(VolumeRecord, {"backend": "b1"})] == ["old", "new"]
        store.apply(Remove(VolumeRecord, "old"))
    with engine.connect() as connection:
        assert connection.scalar(sa.select(schema.schema_table.c.version)) == columns.VERSION + 1


def test_a_schema_that_is_too_new_is_refused(url: str, engine: sa.Engine) -> None:
    open_url(url).close()
    newer = columns.VERSION + 1
    with engine.begin() as connection:
        connection.execute(sa.update(schema.schema_table).values(version=newer, min_reader=newer))
    with pytest.raises(StoreError, match=r"newer version .* Upgrade cinderlib") as caught:
        open_url(url)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("kind", "fields", "index"),
    [
        (VolumeRecord, "backend name", "backend_name"),
        (SnapshotRecord, "backend volume_id", "volume_id"),
        (SnapshotRecord, "name volume_id", "volume_id"),
        (ConnectionRecord, "backend volume_id", "volume_id"),
        (ConnectionRecord, "attached_host backend", "attached_host"),
        (ConnectionRecord, "attached_host volume_id", "volume_id_attached_host"),
        (IntentRecord, "backend resource_id", "resource_id"),
    ],
)
def test_sqlite_uses_the_most_selective_index(
    sqlite_url: str, kind: type[Record], fields: str, index: str
) -> None:
    """It has no statistics, and might otherwise read all rows of a backend."""
    with open_url(sqlite_url) as store:
        assert isinstance(store, sql_store.SQLStore)
        text = store._statements[kind].find(tuple(fields.split()), False, True).text
    with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database:
        plan = database.execute(f"EXPLAIN QUERY PLAN {text}", ("x", "x", 1)).fetchall()
    assert [f" INDEX cinderlib_{kind.kind}_by_{index} (" in row[-1] for row in plan] == [True]


# --- concurrent users ----------------------------------------------------------------------------


def test_no_change_of_another_process_is_lost(url: str) -> None:
    with open_url(url) as store:
        store.apply(Put(volume("v")))

    def work() -> None:
        with open_url(url) as store:
            increment(store, "v", 20)

    in_processes(4, work)
    with open_url(url) as store:
        found = store.get(VolumeRecord, "v")
        assert found is not None
        assert found.size == 81


def test_transactions_with_crossing_locks_all_succeed(url: str) -> None:
    """Two transactions write the same rows in opposite order, which is a deadlock for the
    database."""
    with open_url(url) as store:
        changes = [Put(KeyValueRecord(id=id, value="x"), check=False) for id in "abcdef"]
        store.apply(*changes)

        def work(order: int) -> None:
            for _ in range(15):
                store.apply(*changes[::order])

        in_threads(*[lambda n=n: work(1 if n % 2 else -1) for n in range(4)])
        assert {kv.version for kv in store.find(KeyValueRecord)} == {61}


def test_a_forked_process_uses_its_own_connections(url: str) -> None:
    with open_url(url) as store:
        store.apply(Put(volume("v")))
        in_processes(3, lambda: increment(store, "v", 5))
        increment(store, "v", 5)
        found = store.get(VolumeRecord, "v")
        assert found is not None
        assert found.size == 21


# --- server failures -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.slow
def test_a_store_recovers_with_its_server(name: str, request) -> None:
    server = request.getfixturevalue(name)
    with open_url(server.database()) as store:
        (record,) = store.apply(Put(volume("v")))
        in_threads(*[lambda: store.find(VolumeRecord)] * 4)
        server.stop()
        try:
            for call in (lambda: store.get(VolumeRecord, "v"), lambda: store.apply(Put(volume()))):
                with pytest.raises(StoreError) as caught:
                    call()
                assert caught.value.retryable
                assert "tester:***@" in str(caught.value)
                assert_no_password(caught.value)
        finally:
            server.start()
        assert store.get(VolumeRecord, "v") == record
        server.restart()
        (record,) = store.apply(Put(record))
        assert store.find(VolumeRecord) == [record]


def assert_no_password(error: BaseException) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error)
    assert "pass/word@1" not in shown
    assert "pass%2Fword%401" not in shown


@pytest.fixture
def lossy(postgresql) -> Iterator[tuple[Store, Callable[[str], None]]]:
    """A store, and a function that lets its server close the connection that inserts a volume."""
    url = postgresql.database()
    engine = sa.create_engine(parse(url).url, poolclass=sa.NullPool)

    def end(when: str) -> None:
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
                )
            )
            connection.execute(
                sa.text(
                    f"CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON cinderlib_volume {when} "
                    "FOR EACH ROW EXECUTE FUNCTION lose()"
                )
            )

    with open_url(url) as store:
        yield store, end


def test_a_connection_lost_before_the_commit_changes_no_record(lossy, monkeypatch) -> None:
    store, end = lossy
    # As after a long idle time. Otherwise the commit has already been sent.
    monkeypatch.setattr("cinderlib.persistence.sql.transaction.RECENT", -1.0)
    end("")
    with pytest.raises(StoreError) as caught:
        store.apply(Put(volume("v")))
    assert "not known" not in str(caught.value)
    assert store.find(VolumeRecord) == []


def test_a_connection_lost_during_the_commit_has_an_unknown_outcome(lossy) -> None:
    store, end = lossy
    end("DEFERRABLE INITIALLY DEFERRED")
    with pytest.raises(StoreError, match="unknown whether it was written"):
        store.apply(Put(volume("v")))
    assert store.find(VolumeRecord) == []


def test_no_error_shows_the_password(postgresql, mariadb) -> None:
    wrong = [
        postgresql.database().replace("tester:", "nobody:"),
        mariadb.database().replace("tester:", "nobody:"),
        postgresql.database().replace("/test", "/nosuch"),
        "postgresql://u:pass%2Fword%401@127.0.0.1:1/x",
        "postgresql://127.0.0.1:1/x?password=pass%2Fword%401",
        "mysql://u:pass%2Fword%401@127.0.0.1:1/x",
        "postgresql://u:pass%2Fword%401@h:port/x",
        "postgresql+nodriver://u:pass%2Fword%401@h/x",
        "postgresql+asyncpg://u:pass%2Fword%401@h/x",
        "oracle://u:pass%2Fword%401@h/x",
        "mysql://u:pass%2Fword%401@127.0.0.1:1/x?nosuch=option",
    ]
    for url in wrong:
        with pytest.raises((CinderlibError, MissingDependency)) as caught:
            open_url(url, timeout=2)
        assert_no_password(caught.value)


@pytest.mark.parametrize("name", SERVERS)
def test_locks_exclude_all_users_of_the_store(name: str, request) -> None:
    """Two stores act as two hosts. The second gets the locks that the first releases or loses."""
    url = request.getfixturevalue(name).database(password="p@ss/w?rd#:[1]%40")
    with open_url(url) as one, open_url(url) as other:
        assert one.locks is not None
        assert other.locks is not None
        mine = one.locks.take([5, 7], 5)
        assert mine
        assert other.locks.take([6, 8], 5)
        assert not other.locks.take([6, 7, 9], 0.05)
        mine()
        theirs = other.locks.take([5, 7, 9], 5)
        assert theirs
        theirs()


@pytest.mark.parametrize("name", SERVERS)
def test_a_wait_for_several_locks_ends_when_they_are_released(name: str, request) -> None:
    url = request.getfixturevalue(name).database()
    with open_url(url) as one, open_url(url) as other:
        mine = one.locks.take([5, 7], 5)
        with ThreadPoolExecutor(1) as pool:
            theirs = pool.submit(other.locks.take, [4, 5, 7, 8], 30)
            mine()
            give_back = theirs.result()
        assert not one.locks.take([5], 0.05)
        give_back()
        assert one.locks.take([4, 5, 7, 8], 5)


@pytest.mark.parametrize("name", SERVERS)
def test_a_lost_server_raises_our_error_for_locks(name: str, request) -> None:
    server = request.getfixturevalue(name)
    with open_url(server.database(password="p@ss")) as store:
        assert store.locks is not None
        held = store.locks.take([7], 5)
        server.stop()
        held()
        try:
            with pytest.raises(StoreError) as caught:
                store.locks.take([7], 5)
            assert_no_password(caught.value)
        finally:
            server.start()
        assert store.locks.take([7], 5)


@pytest.mark.parametrize("name", SERVERS)
def test_many_threads_take_turns(name: str, request) -> None:
    with open_url(request.getfixturevalue(name).database()) as store:
        inside = 0
        most = 0

        def enter(_: int) -> None:
            nonlocal inside, most
            assert store.locks is not None
            give_back = store.locks.take([9], 30)
            assert give_back
            inside += 1
            most = max(most, inside)
            store.count(VolumeRecord)
            inside -= 1
            give_back()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(enter, range(40)))
        assert most == 1


# --- SQLite --------------------------------------------------------------------------------------


def test_files_are_private_to_their_owner(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with open_url(f"sqlite:///{tmp_path}/cl.sqlite") as store:
            store.apply(Put(volume()))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    finally:
        os.umask(before)
    files = ["cl.sqlite", "cl.sqlite-wal", "cl.sqlite-shm", "cl.sqlite-locks"]
    assert modes == dict.fromkeys(files, 0o600)


def test_a_relative_path_stays_valid_in_another_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with open_url("sqlite:///cl.sqlite") as store:
        monkeypatch.chdir("elsewhere")
        # Each thread has its own connection, so new connections are opened.
        in_threads(*[lambda: store.apply(Put(volume()))] * 4)
        assert store.count(VolumeRecord) == 4
    assert [path.name for path in tmp_path.rglob("*.sqlite")] == ["cl.sqlite"]
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    "form",
    [
        "sqlite:///{folder}/a b.sqlite",
        "sqlite:///a%20b.sqlite",
        "sqlite:///../links/to folder/a b.sqlite",
        "sqlite:///../links/to file",
        "sqlite:///file:a%20b.sqlite?uri=true",
        "sqlite:///file:{folder}/a b.sqlite?uri=1&mode=rwc",
        "sqlite:///file://localhost{folder}/a b.sqlite?uri=yes",
        "sqlite+pysqlite:///file:///{folder}/../links/to folder/a%2520b.sqlite?uri=true",
    ],
)
def test_the_locks_are_next_to_the_file_for_every_form_of_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    folder, links = tmp_path / "folder", tmp_path / "links"
    folder.mkdir(), links.mkdir()
    (links / "to folder").symlink_to(folder)
    (links / "to file").symlink_to(folder / "a b.sqlite")
    monkeypatch.chdir(folder)
    with open_url(form.format(folder=folder)) as store:
        monkeypatch.chdir("/")
        store.apply(Put(volume()))
        give_back = store.locks.take([7], 0)
        assert not FileLocks(f"{folder}/a b.sqlite-locks").take([7], 0)
        give_back()
    assert {path.name for path in folder.iterdir()} == {"a b.sqlite", "a b.sqlite-locks"}


@pytest.mark.parametrize("form", ["sqlite:///file:x?mode=memory&uri=true", "sqlite:///:memory:"])
def test_a_database_in_memory_creates_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_url(form) as store:
        in_threads(*[lambda: store.apply(Put(volume()))] * 4)
        assert (store.count(VolumeRecord), store.shared, store.locks) == (4, False, None)
    assert not list(tmp_path.iterdir())


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Another program writes to the database."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_all_writing_processes_get_a_turn(sqlite_url: str, tmp_path: Path) -> None:
    def work() -> None:
        with open_url(sqlite_url, timeout=20) as store:
            for number in range(50):
                store.apply(Put(volume(f"v{os.getpid()}-{number}")))

    in_processes(6, work)
    with open_url(sqlite_url) as store:
        assert store.count(VolumeRecord) == 300


def test_a_store_works_without_its_queue(sqlite_url: str) -> None:
    """For example if another user owns its file. SQLite's own lock is sufficient."""
    os.mkdir(sqlite_url.removeprefix("sqlite:///") + "-locks")
    with open_url(sqlite_url) as store:
        store.apply(Put(volume()))


def test_a_stopped_writer_causes_an_error_for_others(sqlite_url: str) -> None:
    """Waiting times out, and does not block others."""
    with open_url(sqlite_url, timeout=0.2) as store:
        queue = FileLocks(sqlite_url.removeprefix("sqlite:///") + "-locks")
        leave = queue.take([STRIPES], 0)  # the lock after those of volumes
        with pytest.raises(StoreError, match=r"other processes used it for 0\.2 seconds"):
            store.apply(Put(volume()))
        leave()
        store.apply(Put(volume()))


def test_reads_continue_while_another_program_writes(sqlite_url: str) -> None:
    with open_url(sqlite_url, timeout=0.2) as store:
        (record,) = store.apply(Put(volume()))
        with locked(sqlite_url):
            assert store.find(VolumeRecord) == [record]
            with pytest.raises(StoreError, match=r"locked it for 0\.2 seconds") as caught:
                store.apply(Put(record))
            assert caught.value.retryable
        store.apply(Put(record))


def test_a_write_waits_for_another_program(sqlite_url: str) -> None:
    with open_url(sqlite_url) as store:
        (record,) = store.apply(Put(volume()))
        done = threading.Event()

        def write() -> None:
            store.apply(Put(record))
            done.set()

        with locked(sqlite_url):
            thread = threading.Thread(target=write, daemon=True)
            thread.start()
            assert not done.wait(0.2)
        assert done.wait(10)
        thread.join()


def test_a_database_that_is_read_only_can_be_read(sqlite_url: str, tmp_path: Path) -> None:
    with open_url(sqlite_url) as store:
        (record,) = store.apply(Put(volume()))
    with open_url(f"sqlite:///file:{tmp_path}/cl.sqlite?mode=ro&uri=true") as store:
        assert store.find(VolumeRecord) == [record]
        with pytest.raises(StoreError, match="readonly") as caught:
            store.apply(Put(record))
        assert not caught.value.retryable
        assert store.find(VolumeRecord) == [record]


@pytest.mark.parametrize("content", [b"not a database, but a text of some length" * 30, b"SQLite"])
def test_a_file_that_is_not_a_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        open_url(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_missing_folder_is_reported_and_not_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("file", "mistyped", "mistyped/more"):
        with pytest.raises(
            InvalidPersistence, match=f"the folder {tmp_path}/{folder} does not exist"
        ):
            open_url(f"sqlite:///{tmp_path}/{folder}/cl.sqlite")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_database_is_created_only_if_allowed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/cl.sqlite"
    with pytest.raises(StoreNotFound):
        sql_store.SQLStore(url, create=False)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cl.sqlite").touch()
    with pytest.raises(StoreNotFound):
        sql_store.SQLStore(url, create=False)
    open_url(url).close()
    sql_store.SQLStore(url, create=False).close()


@pytest.fixture
def small_filesystem(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small filesystem")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_loses_no_records(small_filesystem: Path) -> None:
    with open_url(f"sqlite:///{small_filesystem}/cl.sqlite") as store:
        (record,) = store.apply(Put(volume("v")))
        with pytest.raises(StoreError, match="full") as caught:
            store.apply(Put(replace(record, description="x" * (2 << 20))))
        assert caught.value.retryable
        assert store.find(VolumeRecord) == [record]
        store.apply(Put(replace(record, description="small")))


def test_a_damaged_document_is_reported_without_showing_it(sqlite_url: str) -> None:
    with open_url(sqlite_url) as store:
        store.apply(Put(volume("v")), Put(KeyValueRecord(id="k", value="fine")))
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
            other.execute("UPDATE cinderlib_volume SET document = '{\"hunter2\": 1}'")
        with pytest.raises(DamagedRecord, match="damaged") as caught:
            store.get(VolumeRecord, "v")
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))
        assert store.count(KeyValueRecord) == 1


@pytest.mark.parametrize(
    "document",
    [
        "",
        "null",
        "[]",
        "not json",
        '{"id": "v", "backend": "b1", "host": "h", "si',
        '{"id": "v", "backend": "b1", "host": "h", "size": "1"}',
        '{"id": "another", "backend": "b1", "host": "h", "size": 1}',
        b"\xff\xfe{",
        b'{"id": "v", "backend": "b1", "host": "\xff", "size": 1}',
        b"\0" * 100,
    ],
    ids=repr,
)
def test_invalid_rows_do_not_hide_others(
    sqlite_url: str, document: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with open_url(sqlite_url) as store:
        store.apply(Put(volume("v")), Put(volume("w")))
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
            # As text, including invalid UTF-8.
            other.execute(
                "UPDATE cinderlib_volume SET document = CAST(? AS TEXT) WHERE id = 'v'", [document]
            )
        with pytest.raises(DamagedRecord):
            store.get(VolumeRecord, "v")
        assert [record.id for record in store.iterate(VolumeRecord)] == ["w"]
        (warning,) = caplog.messages
        assert "volume 'v'" in warning
        assert "dump" in warning


def test_a_row_of_a_newer_version_is_read(sqlite_url: str) -> None:
    with open_url(sqlite_url) as store:
        (written,) = store.apply(Put(volume("v")))
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as other:
            other.execute(
                "UPDATE cinderlib_volume SET document = json_insert(document, '$.invented', 1)"
            )
        assert list(store.iterate(VolumeRecord)) == [written]


# --- statements ----------------------------------------------------------------------------------


def test_an_operation_needs_few_statements(sqlite_url, statements) -> None:
    open_url(sqlite_url).close()
    with open_url(sqlite_url) as store:

        def verbs(call: Callable[[], object]) -> str:
            statements.clear()
            call()
            return " ".join(text.split()[0] for text in statements)

        record = volume("v")
        assert verbs(lambda: store.apply(Put(record))) == "BEGIN INSERT COMMIT"
        (record,) = store.find(VolumeRecord)
        assert verbs(lambda: store.apply(Put(record))) == "BEGIN UPDATE COMMIT"
        pair = KeyValueRecord(id="k", value="x")
        assert verbs(lambda: store.apply(Put(pair), Put(volume()))) == "BEGIN INSERT INSERT COMMIT"
        assert verbs(lambda: store.apply(Put(pair, check=False))) == "BEGIN SELECT UPDATE COMMIT"
        assert verbs(lambda: store.apply(Remove(VolumeRecord, "v", 2))) == "BEGIN DELETE COMMIT"
        assert verbs(lambda: store.apply(Remove(VolumeRecord, "v"))) == "BEGIN DELETE COMMIT"
        assert verbs(lambda: store.get(VolumeRecord, "v")) == "SELECT"
        assert verbs(lambda: store.find(VolumeRecord, {"name": "x"}, limit=10)) == "SELECT"
        assert verbs(lambda: store.count(VolumeRecord)) == "SELECT"
        assert verbs(lambda: store.apply()) == ""


def test_a_page_is_a_range_of_an_index(sqlite_url: str, statements: list[str]) -> None:
    with open_url(sqlite_url) as store:
        (last,) = store.apply(Put(volume()))
        connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
        conditions = [{}, {"backend": "b"}, {"name": "n"}, {"backend": "b", "name": "n"}]
        with contextlib.closing(connection):
            for where in conditions:
                for after in (None, last):
                    statements.clear()
                    store.find(VolumeRecord, where, after=after, limit=100)
                    (query,) = statements
                    rows = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
                    plan = [row[3] for row in rows]
                    index = f"cinderlib_volume_by_{'_'.join(where) or 'age'}"
                    verb = "SEARCH" if where or after else "SCAN"
                    assert len(plan) == 1, plan
                    assert plan[0].startswith(f"{verb} cinderlib_volume USING"), plan
                    assert f"INDEX {index}" in plan[0]
                    if after:
                        assert "(created_at,id)>(?,?)" in plan[0]
