"""Real failures of the store before, during or after the driver's work: no data is destroyed and no
resource forgotten, the error reports the effects, and repeating the call leads to the final
state."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import psycopg2
import pytest
import servers.etcd
import servers.postgresql
from crash import hooks

import cinderlib as cl
from cinderlib import errors
from cinderlib.records import IntentRecord, VolumeRecord

A, B, S = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abc")


class Failure(Protocol):
    """A kind of failure of a store."""

    url: str

    def begin(self) -> None: ...
    def end(self) -> None: ...


class DiskFull:
    """SQLite on a full filesystem."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.url = f"sqlite:///{folder}/store.sqlite"
        self._filler = folder / "filler"

    def begin(self) -> None:
        with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4096)) == 4096:
                pass

    def end(self) -> None:
        self._filler.unlink()


class Locked:
    """SQLite that another program locks for longer than the timeout."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.url = f"sqlite:///{folder}/store.sqlite"

    def begin(self) -> None:
        path = self.url.removeprefix("sqlite:///")
        self._other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._other.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        self._other.close()


class OnServer:
    def __init__(self, server: servers.postgresql.PostgreSQL) -> None:
        self._server = server
        self.url = server.database()
        self._name = self.url.partition("@/")[2].partition("?")[0]

    def _execute(self, *statements: str) -> None:
        url = self.url.replace(f"@/{self._name}?", "@/postgres?")
        with contextlib.closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            for statement in statements:
                connection.cursor().execute(statement)

    @property
    def _kill(self) -> str:
        return (
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'"
        )


class Stopped(OnServer):
    """The server is stopped."""

    def begin(self) -> None:
        self._server.stop()

    def end(self) -> None:
        self._server.start()


class ReadOnly(OnServer):
    """The server refuses writes, like a standby."""

    def begin(self) -> None:
        option = f"ALTER DATABASE {self._name} SET default_transaction_read_only = on"
        self._execute(option, self._kill)

    def end(self) -> None:
        option = f"ALTER DATABASE {self._name} RESET default_transaction_read_only"
        self._execute(option, self._kill)


class Killed(OnServer):
    """The server closes all connections, and accepts new connections."""

    def begin(self) -> None:
        self._execute(self._kill)

    def end(self) -> None:
        pass


class StoppedEtcd:
    """The only member of an etcd cluster is killed."""

    def __init__(self, cluster: servers.etcd.Etcd) -> None:
        self._member = cluster.members[0]
        self.url = cluster.database()

    def begin(self) -> None:
        self._member.stop()

    def end(self) -> None:
        self._member.start()


@pytest.fixture
def small_filesystem(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount (run as root)")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(
    params=[
        *("disk full", "locked", "killed"),
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("stopped", "read-only", "stopped etcd")
        ),
    ]
)
def failure(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Failure:
    match request.param:
        case "disk full":
            return DiskFull(request.getfixturevalue("small_filesystem"))
        case "locked":
            return Locked(tmp_path)
        case "stopped etcd":
            return StoppedEtcd(request.getfixturevalue("etcd"))
    server = request.getfixturevalue("postgresql")
    kinds = {"stopped": Stopped, "read-only": ReadOnly, "killed": Killed}
    return kinds[request.param](server)


@pytest.fixture
def controller(failure: Failure, tmp_path: pathlib.Path) -> Iterator[cl.Controller]:
    store = {"storage": "db", "connection": failure.url, "timeout": 0.5}
    with cl.Controller(store, state_path=tmp_path / "state", lock_timeout=20) as controller:
        yield controller
    hooks.hooks.clear()


@pytest.fixture
def backend(controller: cl.Controller, tmp_path: pathlib.Path) -> cl.Backend:
    return controller.backend(
        "array",
        volume_driver="crash.hooked_driver.HookedDriver",
        file_root=str(tmp_path / "array"),
    )


def _delete(backend: cl.Backend) -> None:
    with contextlib.suppress(errors.VolumeNotFound):
        backend.controller.volume(A).delete()


CALLS: dict[str, Callable[[cl.Backend], Any]] = {
    "create": lambda b: b.create_volume(1, id=B),
    "clone": lambda b: b.controller.volume(A).clone(id=B),
    "snapshot": lambda b: b.controller.volume(A).create_snapshot(id=S),
    "extend": lambda b: b.controller.volume(A).extend(2),
    "delete": _delete,
}


def seen(root: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    """The sizes and first bytes of all volumes and snapshots on the storage."""
    found = {}
    for path in root.iterdir():
        with path.open("rb") as file:
            found[path.name] = (path.stat().st_size, file.read(5))
    return found


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_failing_store_destroys_no_data(
    controller: cl.Controller,
    backend: cl.Backend,
    failure: Failure,
    moment: str,
    tmp_path: pathlib.Path,
) -> None:
    root = tmp_path / "array"
    for name, make in CALLS.items():
        volume = backend.create_volume(1, id=A)
        (root / volume.name_in_storage).open("r+b").write(b"first")
        before = seen(root)
        if moment == "before":
            failure.begin()
        else:
            hooks.hooks[moment] = failure.begin
        message = ""
        try:
            make(backend)
        except errors.StoreError as exc:
            message = str(exc)
        finally:
            failure.end()
        # After the loss of connections, the store opens new connections.
        assert message or isinstance(failure, Killed), name
        if moment == "before" and message:
            assert seen(root) == before, name
        elif message:
            assert "No data is lost" in message, name
        make(backend)
        assert controller.store.find(IntentRecord) == [], name
        records = controller.store.find(VolumeRecord)
        assert {record.status for record in records} <= {"available"}, name
        if name == "delete":
            assert (records, seen(root)) == ([], {}), name
            continue
        names = {controller.name_in_storage(record) for record in records}
        snapshots = {snapshot.name_in_storage for snapshot in controller.snapshots()}
        assert set(seen(root)) == names | snapshots, name
        assert seen(root)[volume.name_in_storage][1] == b"first", name
        for snapshot in list(controller.snapshots()):
            snapshot.delete()
        for each in list(controller.volumes()):
            each.delete()
