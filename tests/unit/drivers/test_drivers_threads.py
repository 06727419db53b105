"""Drivers for eventlet's threads that run in native threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cinderlib.drivers.threads import Pool, _Spawner


class Connection:
    """The methods of a paramiko client that SSHPool uses."""

    active = True

    def get_transport(self) -> Connection:
        return self

    def is_active(self) -> bool:
        return self.active

    def close(self) -> None:
        self.active = False


@pytest.fixture
def ssh_pool(load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    from cinder import ssh_utils  # like the drivers that use it

    load()
    monkeypatch.setattr(ssh_utils.SSHPool, "create", lambda self: Connection())
    pool = ssh_utils.SSHPool("192.0.2.1", 22, 10, "user", password="x", min_size=1, max_size=2)
    assert isinstance(pool, Pool)
    return pool


def test_threads_share_fewer_ssh_connections(ssh_pool: Any) -> None:
    """With eventlet's pool the waiting threads never wake up."""
    at_once = 0
    most = 0
    lock = threading.Lock()
    start = threading.Barrier(8)

    def work() -> None:
        nonlocal at_once, most
        start.wait()
        for _ in range(50):
            with ssh_pool.item():
                with lock:
                    at_once += 1
                    most = max(most, at_once)
                with lock:
                    at_once -= 1

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(work) for _ in range(8)]:
            done.result(timeout=30)
    assert most <= 2
    assert ssh_pool.free() == 2
    assert ssh_pool.waiting() == 0


def test_a_broken_ssh_connection_is_replaced(ssh_pool: Any) -> None:
    with ssh_pool.item() as first:
        pass
    first.active = False
    with ssh_pool.item() as second:
        assert second is not first
        assert second.is_active()


def test_failed_connections_do_not_use_up_the_pool() -> None:
    def fail() -> None:
        raise ConnectionError

    pool = Pool(max_size=1, create=fail)
    for _ in range(3):
        with pytest.raises(ConnectionError):
            pool.get()


def test_threads_that_a_driver_spawns_run() -> None:
    done = threading.Event()
    _Spawner.spawn(done.set).join(10)
    assert done.is_set()


# --- repeated calls in the background ------------------------------------------------------------


PROGRAM = """
import contextlib, pathlib, sys
import cinderlib as cl

folder = sys.argv[1]
controller = cl.Controller(state_path=folder)
with contextlib.suppress(cl.errors.DriverError):
    controller.backend("array", volume_driver=sys.argv[2], file_root=folder)
print("loaded")
"""


@pytest.mark.parametrize(
    "driver", ["LoopingDriver", pytest.param("UnreachableDriver", marks=pytest.mark.slow)]
)
def test_a_program_ends_while_a_driver_repeats_a_call(driver: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), f"looping_driver.{driver}"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "loaded\n"


def test_a_closed_driver_no_longer_repeats_a_call(load: Callable[..., Any], tmp_path: Path) -> None:
    options = {"volume_driver": "looping_driver.LoopingDriver", "file_root": str(tmp_path)}
    closed, other = load("closed", **options), load("other", **options)
    assert closed._driver.is_renewing()
    closed.close()
    while closed._driver.renewals.acquire(timeout=1):
        pass  # a call that was running ends, and none follows
    assert other._driver.is_renewing()


def test_the_first_backend_is_loaded_in_a_thread_that_ends(tmp_path: Path) -> None:
    """In a new process, because the import of Cinder happens once."""
    program = f"""
import threading
import cinderlib as cl
controller = cl.Controller(state_path={str(tmp_path)!r})
options = dict(volume_driver="file", file_root={str(tmp_path / "volumes")!r})
thread = threading.Thread(target=controller.backend, args=["files"], kwargs=options)
thread.start()
thread.join(60)
assert not thread.is_alive()
controller.backends["files"].create_volume(1).delete()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
