"""A driver that misbehaves on request during a call.

A request is the name of an action in the file ``.request <method> <when>`` of the array's folder.
The driver removes the file, and leaves its process ID in the file ``.process``.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.shared_array import SharedArray

LOG = logging.getLogger("array.sdk")


def _sleep() -> None:
    while True:
        time.sleep(3600)


def _allocate() -> None:
    kept = []
    while True:
        kept.append(bytearray(16 << 20))


def _segfault() -> None:
    ctypes.string_at(8)


def _stop() -> None:
    # Sent to the process, the signal could reach this thread after it has answered.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _fork_and_return() -> None:
    """Return from the call in the child too, as a copy of the whole program."""
    os.fork()


def _fork_and_linger() -> None:
    if not os.fork():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _sleep()


def _start_program() -> None:
    subprocess.Popen(["sleep", "3600"], process_group=0)


ACTIONS: dict[str, Callable[[], None]] = {
    "sleep": _sleep,
    "allocate": _allocate,
    "abort": os.abort,
    "segfault": _segfault,
    "exit": lambda: os._exit(3),
    "stop": _stop,
    "fork and return": _fork_and_return,
    "fork and linger": _fork_and_linger,
    "start a program": _start_program,
}


def _misbehaving(name: str) -> Callable[..., Any]:
    work = getattr(SharedArray, name)

    def call(self: MisbehavingDriver, *args: Any, **kwargs: Any) -> Any:
        self.obey(name, "before")
        answer = work(self, *args, **kwargs)
        self.obey(name, "after")
        return answer

    return call


class MisbehavingDriver(SharedArray):
    #: Waits for this number of threads.
    together = threading.Barrier(3)
    numbers = (1, 2)

    def obey(self, method: str, when: str) -> None:
        path = Path(self.configuration.file_root, f".request {method} {when}")
        try:
            action = path.read_text()
        except FileNotFoundError:
            return
        path.with_name(".process").write_text(str(os.getpid()))
        path.unlink()
        ACTIONS[action]()

    create_volume = _misbehaving("create_volume")
    create_cloned_volume = _misbehaving("create_cloned_volume")
    delete_volume = _misbehaving("delete_volume")
    extend_volume = _misbehaving("extend_volume")
    create_snapshot = _misbehaving("create_snapshot")
    delete_snapshot = _misbehaving("delete_snapshot")
    revert_to_snapshot = _misbehaving("revert_to_snapshot")
    create_export = _misbehaving("create_export")
    initialize_connection = _misbehaving("initialize_connection")
    terminate_connection = _misbehaving("terminate_connection")
    remove_export = _misbehaving("remove_export")
    get_volume_stats = _misbehaving("get_volume_stats")

    def check_for_setup_error(self) -> None:
        self.obey("check_for_setup_error", "before")

    # --- methods that tests call with ``backend.driver``

    def process(self) -> int:
        return os.getpid()

    def processors(self) -> int:
        return len(os.sched_getaffinity(0))

    def meet(self) -> int:
        return self.together.wait(20)

    def log(self, text: str) -> None:
        LOG.debug("debug: %s", text)
        LOG.warning("warning: %s", text)
        try:
            raise ValueError("told you")
        except ValueError:
            LOG.exception("failed: %s", text)

    def greet(self, name: str, *, politely: bool = False) -> dict[str, Any]:
        return {"greeting": f"hello, {name}", "politely": politely}

    def size_in_store(self, volume_id: str) -> int:
        return int(self.db.volume_get(None, volume_id)["size"])

    def an_object(self) -> Any:
        return object()
