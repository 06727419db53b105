"""Drivers that do not support active-active, used by several processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cinderlib as cl
from cinderlib.locking import backend_lock
from cinderlib.locking.files import FileLocks

PATIENCE = 120.0

PROGRAM = """
import sys, threading
import cinderlib as cl
connection, folder, kind, what = sys.argv[1:]
controller = cl.Controller(
    {"storage": "db", "connection": connection}, state_path=folder + "/state", lock_timeout=60
)
backend = controller.backend("array", volume_driver="api.turns_driver." + kind,
                             file_root=folder + "/volumes")
print("loaded", flush=True)
input()
def work():
    for _ in range(8):
        backend.create_volume(1).delete()
        backend.stats(refresh=True)
if what == "work":
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
else:
    print(backend.create_volume(1).status, flush=True)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started = []

    def run(connection: str, kind: str = "TurnsDriver", what: str = "work") -> Any:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, connection, str(tmp_path), kind, what],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "loaded\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.sqlite"


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not come"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "store",
    [
        pytest.param("sqlite", marks=pytest.mark.core),
        *("postgresql", "mariadb", "etcd"),
    ],
)
@pytest.mark.slow
def test_processes_take_turns(
    start: Start, store: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server = request.getfixturevalue(store)
    connection = server if store == "sqlite" else server.database()
    processes = [start(connection) for _ in range(3)]
    for process in processes:
        go(process)
    assert [process.wait(PATIENCE) for process in processes] == [0, 0, 0]
    assert not (tmp_path / "together").exists()


@pytest.mark.slow
def test_a_driver_that_supports_active_active_does_not_wait(
    start: Start, sqlite: str, tmp_path: Path
) -> None:
    held, other = start(sqlite, "TogetherDriver", "create"), start(sqlite, "TogetherDriver")
    (tmp_path / "hold").touch()
    go(held)
    wait_for(tmp_path / "held")
    go(other)
    wait_for(tmp_path / "together")
    (tmp_path / "hold").unlink()
    assert [held.wait(PATIENCE), other.wait(PATIENCE)] == [0, 0]


@pytest.mark.slow
def test_a_process_that_times_out_has_not_changed_anything(
    start: Start, sqlite: str, tmp_path: Path
) -> None:
    held = start(sqlite, what="create")
    with cl.Controller(
        {"storage": "db", "connection": sqlite}, state_path=tmp_path / "state", lock_timeout=0.5
    ) as controller:
        backend = controller.backend(
            "array",
            volume_driver="api.turns_driver.TurnsDriver",
            file_root=str(tmp_path / "volumes"),
        )
        volume = backend.create_volume(1)
        (tmp_path / "hold").touch()
        go(held)
        wait_for(tmp_path / "held")
        for ask in (
            lambda: backend.create_volume(1),
            volume.delete,
            volume.create_snapshot,
            lambda: volume.extend(2),
            volume.attach,
            backend.reconcile,
        ):
            with pytest.raises(cl.errors.Busy, match="several processes") as caught:
                ask()
            assert caught.value.retryable
        volume.refresh()
        assert (volume.status, volume.size) == ("available", 1)
        assert (volume.connections, volume.snapshots) == ([], [])
        assert [found.id for found in backend.volumes if found.status != "creating"] == [volume.id]
        (tmp_path / "hold").unlink()
        assert held.wait(PATIENCE) == 0
        volume.delete()


@pytest.mark.slow
def test_a_killed_process_releases_its_turn(start: Start, sqlite: str, tmp_path: Path) -> None:
    other = start(sqlite, what="create")
    held = start(sqlite, what="create")
    (tmp_path / "hold").touch()
    go(held)
    wait_for(tmp_path / "held")
    go(other)
    held.kill()
    held.wait()
    (tmp_path / "hold").unlink()
    out, _ = other.communicate(timeout=PATIENCE)
    assert out == "available\n"


def test_threads_share_the_turn_of_their_process_and_let_other_processes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two controllers act as two processes, because the locks belong to open files."""
    monkeypatch.setattr(backend_lock, "TURN", 0.05)
    path = str(tmp_path / "locks")
    ours, theirs = (
        backend_lock.BackendLock(FileLocks(path), 5000, "array", PATIENCE) for _ in range(2)
    )
    together, stop = threading.Barrier(2, timeout=PATIENCE), threading.Event()

    def busy() -> None:
        with ours:
            together.wait()
        while not stop.is_set():
            with ours, ours:
                time.sleep(0.001)

    threads = [threading.Thread(target=busy) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            with theirs:
                assert ours._give_back is None
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    with ours, ours:
        pass


@pytest.mark.slow
def test_a_forked_child_that_cannot_run_its_program_ends(tmp_path: Path) -> None:
    program = f"""
import cinderlib as cl
backend = cl.Backend("array", volume_driver="api.turns_driver.ForkingDriver",
                     file_root="{tmp_path}/volumes")
try:
    backend.create_volume(1)
finally:
    with open("{tmp_path}/ends", "a") as file:
        file.write("end of the program\\n")
assert backend.driver.ended == 127
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ends").read_text() == "end of the program\n"
    assert "FileNotFoundError" in done.stderr
