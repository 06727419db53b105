"""Holds locks in another thread, as a running operation does."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import cinderlib as cl


@contextlib.contextmanager
def held(controller: cl.Controller, lock: str) -> Iterator[None]:
    """Hold a lock of the controller in another thread during the block."""
    is_held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with controller.journal.locks.hold(lock):
            is_held.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()
