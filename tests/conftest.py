"""Fixtures for all tests: servers, each started when a test first needs it.

A test that uses a server, as an argument, as a parameter or as its class's ``server``, is marked
``server``, so that ``-m 'not server'`` excludes it.
"""

from __future__ import annotations

import os
import pathlib
import signal
import tempfile
from collections.abc import Iterator
from typing import Any

import crash.tally
import left_open
import pytest
import servers
import servers.ceph
import servers.etcd
import servers.mariadb
import servers.postgresql
from hypothesis import HealthCheck, settings

# The duration of an example depends more on other load of the machine than on the code.
settings.register_profile(
    "busy", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy")

# The list of drivers is kept between the tests, and not in the user's folder.
os.environ["XDG_CACHE_HOME"] = f"{tempfile.gettempdir()}/cinderlib-tests-{os.geteuid()}"

# Tests sync many small files, and do not test the disk.
if folder_in_memory := servers.memory():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder_in_memory)

SERVERS = {"postgresql", "mariadb", "ceph", "etcd"}

# A background job of a shell ignores Ctrl-C, as do all programs that it starts. Tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# With tests in several processes, the process that writes the report loads no other conftest.
pytest_terminal_summary = crash.tally.pytest_terminal_summary

pytest_runtest_call = left_open.pytest_runtest_call


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        names = [each for each in parameters if isinstance(each, str)]
        asked = {*item.fixturenames, *names, getattr(item.cls, "server", None)}
        if needed := asked & SERVERS:
            item.add_marker("server")
            # With --dist loadgroup one process runs them, and starts the server once.
            item.add_marker(pytest.mark.xdist_group(min(needed)))
        # A class that inherits a suite cannot mark tests of the suite only for itself.
        fast = getattr(item.cls, "fast", None)
        if fast is not None and item.originalname not in fast:
            item.add_marker("slow")


@pytest.fixture
def open_folder() -> Iterator[pathlib.Path]:
    """An empty folder that all users may use. ``tmp_path`` is in a private folder, whose mode every
    pytest sets again when it starts."""
    with tempfile.TemporaryDirectory(prefix="cinderlib-test-") as folder:
        os.chmod(folder, 0o777)
        yield pathlib.Path(folder)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[servers.postgresql.PostgreSQL]:
    with servers.postgresql.run() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[servers.mariadb.MariaDB]:
    with servers.mariadb.run() as server:
        yield server


@pytest.fixture(scope="session")
def etcd() -> Iterator[servers.etcd.Etcd]:
    with servers.etcd.run() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ceph() -> Iterator[servers.ceph.Cluster]:
    with servers.ceph.run() as cluster:
        yield cluster


@pytest.fixture
def old_history_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """No operation removes old records of the history, as one in sixteen does."""
    monkeypatch.setattr("cinderlib.operations.history._TRIM_EVERY", 10**9)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch, old_history_stays: None) -> list[str]:
    """The statements that new connections to SQLite execute."""
    from cinderlib.persistence.sql.sqlite import SQLite

    executed: list[str] = []
    opened = SQLite.open

    def traced(self: SQLite) -> Any:
        connection = opened(self)
        connection.set_trace_callback(executed.append)
        return connection

    monkeypatch.setattr(SQLite, "open", traced)
    return executed
