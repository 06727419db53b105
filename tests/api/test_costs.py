"""The cost of operations in counts that are the same on every machine. They show an increase that
timings would hide on a busy machine.

If an operation gets cheaper, lower its count here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cinderlib as cl
from cinderlib.objects import documents_out
from cinderlib.persistence.base import Put
from cinderlib.records import VolumeRecord, new_id

#: Statements without BEGIN and COMMIT; commits (the first stores the intent, the second the
#: result); and pages that SQLite writes to its log (one for each index of a new or deleted row).
#: The record in the history takes two of the pages.
COSTS = {
    "create": (6, 2, 15),
    "get_by_id": (1, 0, 0),
    "get_by_name": (1, 0, 0),
    "connect": (7, 2, 18),
    "disconnect": (7, 2, 18),
    # Two commits for the connection, one adds the device.
    "attach": (13, 3, 22),
    # One commit for the intent of the whole call, two for the connection.
    "detach": (12, 3, 22),
    "snapshot": (6, 2, 16),
    "delete snapshot": (7, 2, 16),
    "extend": (7, 2, 10),
    "delete": (6, 2, 15),
    "a page of 100": (1, 0, 0),
    "dumps of 200": (3, 0, 0),
    "documents of 200": (1 + 200 // documents_out.TOGETHER, 0, 0),
    "count": (1, 0, 0),
}


pytestmark = pytest.mark.usefixtures("old_history_stays")

#: Bytes of a page in SQLite's log.
PAGE = 24 + 4096


def test_costs_in_statements_commits_and_pages(tmp_path: Path, statements: list[str]) -> None:
    counted: dict[str, tuple[int, int, int]] = {}

    def pages() -> int:
        return (tmp_path / "store.sqlite-wal").stat().st_size // PAGE

    def count(what: str, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        statements.clear()
        before = pages()
        result = work(*arguments, **named)
        commits = statements.count("COMMIT")
        others = [text for text in statements if not text.startswith(("BEGIN", "COMMIT"))]
        cost = len(others), commits, pages() - before
        counted[what] = min(cost, counted.get(what, cost))
        return result

    def page(**wanted: Any) -> list[cl.Volume]:
        return list(controller.volumes(**wanted))

    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store.sqlite"}
    with cl.Controller(store, state_path=tmp_path) as controller:
        backend = controller.backend("b", volume_driver="file", file_root=f"{tmp_path}/volumes")
        connector = controller.local_connector(backend)
        # The first time opens connections. A few times, the history's record needs a new page of
        # its table, which splits another: which ones depends on the length of the host's name.
        for _ in range(3):
            volume = count("create", backend.create_volume, 1, name="a")
            count("get_by_id", controller.volume, volume.id)
            count("get_by_name", page, name="a")
            connection = count("connect", volume.connect, connector)
            count("disconnect", volume.disconnect, connection)
            count("attach", volume.attach)
            count("detach", volume.detach)
            snapshot = count("snapshot", volume.create_snapshot)
            count("delete snapshot", snapshot.delete)
            count("extend", volume.extend, 2)
            count("delete", volume.delete)
        controller.store.apply(
            *[Put(VolumeRecord(id=new_id(), backend="b", size=1, host="h@b#b")) for _ in range(200)]
        )
        count("a page of 100", page, limit=100)
        count("dumps of 200", getattr, backend, "dumps")
        count("documents of 200", lambda: list(controller.documents(controller.volumes())))
        count("count", controller.store.count, VolumeRecord)
    assert counted == COSTS


#: Round trips to a PostgreSQL server, which take longer than most statements: acquire the locks,
#: read current records, commit the intent, commit the result, release the locks.
MESSAGES = {
    "create": 5,
    "get_by_id": 1,
    "connect": 5,
    "disconnect": 5,
    "snapshot": 5,
    "delete snapshot": 6,
    "extend": 6,
    "delete": 5,
}


def test_costs_in_round_trips_to_a_server(tmp_path: Path, postgresql: Any) -> None:
    import psycopg2.extensions
    import sqlalchemy as sa

    said: list[str] = []

    class Cursor(psycopg2.extensions.cursor):  # type: ignore[misc]
        def execute(self, text: Any, values: Any = None) -> None:
            said.append(text)
            super().execute(text, values)

    def listen(connection: Any, record: Any) -> None:
        connection.cursor_factory = Cursor

    store = {"storage": "db", "connection": postgresql.database()}
    sa.event.listen(sa.pool.Pool, "connect", listen)
    try:
        with cl.Controller(store, state_path=tmp_path) as controller:
            backend = controller.backend("b", volume_driver="file", file_root=f"{tmp_path}/volumes")
            _messages_of_operations(backend, said)  # prepares the statements
            counted = _messages_of_operations(backend, said)
    finally:
        sa.event.remove(sa.pool.Pool, "connect", listen)
    assert counted == MESSAGES


#: Requests of an operation to etcd: as for PostgreSQL, and one more where an index leads to other
#: records, because one request finds their IDs and the next one reads them.
REQUESTS = {
    "create": 5,
    "get_by_id": 1,
    "connect": 5,
    "disconnect": 6,
    "snapshot": 5,
    "delete snapshot": 6,
    "extend": 6,
    "delete": 5,
}


def test_operations_take_so_many_requests_to_etcd(
    tmp_path: Path, etcd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cinderlib.persistence.etcd.client import Client

    sent: list[str] = []
    call = Client.call

    def counting(client: Client, path: str, *arguments: Any, **named: Any) -> Any:
        if path != "lease/keepalive":
            sent.append(path)
        return call(client, path, *arguments, **named)

    monkeypatch.setattr(Client, "call", counting)
    store = {"storage": "db", "connection": etcd.database()}
    with cl.Controller(store, state_path=tmp_path) as controller:
        backend = controller.backend("b", volume_driver="file", file_root=f"{tmp_path}/volumes")
        backend.create_volume(1)  # starts the session
        counted = _messages_of_operations(backend, sent)
    assert counted == REQUESTS


def _messages_of_operations(backend: cl.Backend, sent: list[str]) -> dict[str, int]:
    """The number of messages to the store's server, by operation.

    :param sent: gets each message when it is sent.
    """
    counted: dict[str, int] = {}

    def count(what: str, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        sent.clear()
        result = work(*arguments, **named)
        counted[what] = len(sent)
        return result

    controller = backend.controller
    connector = controller.local_connector(backend)
    volume = count("create", backend.create_volume, 1, name="a")
    count("get_by_id", controller.volume, volume.id)
    connection = count("connect", volume.connect, connector)
    count("disconnect", volume.disconnect, connection)
    snapshot = count("snapshot", volume.create_snapshot)
    count("delete snapshot", snapshot.delete)
    count("extend", volume.extend, 2)
    count("delete", volume.delete)
    return counted


ATTACH = """
import json, sys
import cinderlib as cl
folder = sys.argv[1]
controller = cl.Controller({"storage": "db", "connection": f"sqlite:///{folder}/store.sqlite"},
                           state_path=folder)
backend = controller.backend("b", volume_driver="file", file_root=folder + "/volumes")
started = []
def listen(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.system"):
        started.append(str(arguments[0]).rpartition("/")[2])
sys.addaudithook(listen)
counts = []
for _ in range(2):
    volume = backend.create_volume(1)
    volume.attach()
    counts.append(list(started))
    started.clear()
    volume.detach()
    counts.append(list(started))
    started.clear()
    volume.delete()
print(json.dumps(counts))
"""


def _run(program: str, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_attach_and_detach_of_a_file_run_no_program(tmp_path: Path) -> None:
    if os.geteuid() == 0 and not os.path.exists("/dev/loop-control"):
        pytest.skip("no /dev/loop-control here: modprobe loop")
    assert _run(ATTACH, str(tmp_path)) == [[], [], [], []]


#: The number of modules that a new process may load in addition to Python's, and modules that it
#: must not load.
MODULES = {
    "import cinderlib": (10, {"msgspec", "sqlite3", "logging", "json", "asyncio"}),
    "from cinderlib.node import Node; Node(state_path='x').connector_properties('local')": (
        150,
        {"os_brick", "sqlalchemy", "cinder", "click"},
    ),
}
HEAVY = {"cinder", "os_brick", "eventlet", "tooz", "alembic", "oslo_config", "pkg_resources"}


@pytest.mark.parametrize("program", MODULES)
def test_imports_load_few_modules(program: str) -> None:
    most, heavy = MODULES[program]
    seen = "\nimport json, sys; print(json.dumps(list(sys.modules)))"
    loaded = set(_run(program + seen)) - set(_run(seen))
    assert not {name.partition(".")[0] for name in loaded} & (HEAVY | heavy)
    assert len(loaded) <= most


#: The number of the library's own modules that a listing by the command may load. Most operations
#: and most of the node are not among them.
LISTING = 125


def test_a_listing_by_the_command_loads_few_modules_and_no_driver(tmp_path: Path) -> None:
    configuration = tmp_path / "cinderlib.toml"
    configuration.write_text(
        f"[persistence]\nstorage = 'db'\nconnection = 'sqlite:///{tmp_path}/store.sqlite'\n"
        f"[controller]\nstate_path = '{tmp_path}'\n"
    )
    program = (
        "import json, sys\n"
        "from cinderlib.cli.main import cli\n"
        "arguments = ['--config', sys.argv[1], '--json', 'volume', 'list']\n"
        "cli(arguments, standalone_mode=False)\n"
        "print(json.dumps(list(sys.modules)))"
    )
    _run(program, str(configuration))  # creates the database, which needs Alembic
    loaded = _run(program, str(configuration))
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    assert len([name for name in loaded if name.startswith("cinderlib.")]) <= LISTING
