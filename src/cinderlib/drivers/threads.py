"""Lets drivers that were written for eventlet's green threads run in native threads.

Three modules of Cinder use eventlet's primitives, which hang when native threads contend for them,
or never run. After such a module is loaded, native primitives replace them, unless the program
itself uses eventlet.
"""

from __future__ import annotations

import collections
import contextvars
import sys
import threading
from collections.abc import Callable
from typing import Any

_LOCK = threading.Lock()


class Pool:
    """The parts of ``eventlet.pools.Pool`` that ``cinder.ssh_utils.SSHPool`` uses.

    :param min_size: number of items that are created immediately.
    :param max_size: maximum number of items; :meth:`get` waits while all are in use.
    :param order_as_stack: whether :meth:`get` returns the most recently returned item first.
    """

    def __init__(
        self,
        min_size: int = 0,
        max_size: int = 4,
        order_as_stack: bool = False,
        create: Callable[[], Any] | None = None,
    ) -> None:
        self.min_size = min_size
        self.max_size = max_size
        self.order_as_stack = order_as_stack
        self.current_size = 0
        self.free_items: collections.deque[Any] = collections.deque()
        self._waiting = 0
        self._changed = threading.Condition(threading.RLock())
        if create is not None:
            self.create = create  # type: ignore[method-assign]
        for _ in range(min_size):
            self.current_size += 1
            self.free_items.append(self.create())

    def create(self) -> Any:
        raise NotImplementedError

    def get(self) -> Any:
        """An item for exclusive use."""
        with self._changed:
            self._waiting += 1
            try:
                while not self.free_items and self.current_size >= self.max_size:
                    # SSHPool decrements current_size for broken connections, without notification.
                    self._changed.wait(1)
            finally:
                self._waiting -= 1
            if self.free_items:
                return self.free_items.popleft()
            self.current_size += 1
        try:
            return self.create()  # without the lock, because a connection takes long
        except BaseException:
            with self._changed:
                self.current_size -= 1
                self._changed.notify()
            raise

    def put(self, item: Any) -> None:
        """Return an item."""
        with self._changed:
            if self.current_size > self.max_size:
                self.current_size -= 1
            elif self.order_as_stack:
                self.free_items.appendleft(item)
            else:
                self.free_items.append(item)
            self._changed.notify()

    def item(self) -> Any:
        """For ``with pool.item() as item``."""
        return _Borrowed(self)

    def resize(self, new_size: int) -> None:
        with self._changed:
            self.max_size = new_size
            self._changed.notify_all()

    def free(self) -> int:
        with self._changed:
            return len(self.free_items) + self.max_size - self.current_size

    def waiting(self) -> int:
        with self._changed:
            return self._waiting


class _Borrowed:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __enter__(self) -> Any:
        self._item = self._pool.get()
        return self._item

    def __exit__(self, *exc: Any) -> None:
        self._pool.put(self._item)


class _Semaphores:
    """Replaces ``eventlet.semaphore``."""

    Semaphore = threading.Semaphore


class _Spawner:
    """Replaces ``eventlet`` in a module that only uses ``spawn``."""

    @staticmethod
    def spawn(function: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        """Run the function in a daemon thread, with the caller's context variables."""
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(function, *args), kwargs=kwargs, daemon=True,
            name=getattr(function, "__name__", "spawned"),
        )  # fmt: skip
        thread.start()
        return thread


def adapt() -> None:
    """Replace the primitives in the loaded modules. A repeated call has no effect."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        return
    with _LOCK:
        ssh = sys.modules.get("cinder.ssh_utils")
        if ssh is not None and not issubclass(ssh.SSHPool, Pool):
            ssh.SSHPool.__bases__ = (Pool,)
        netapp: Any = sys.modules.get("cinder.volume.drivers.netapp.dataontap.client.api")
        if netapp is not None and hasattr(netapp, "semaphore"):
            netapp.semaphore = _Semaphores
        ds8k: Any = sys.modules.get("cinder.volume.drivers.ibm.ibm_storage.ds8k_proxy")
        if ds8k is not None and hasattr(ds8k, "eventlet"):
            ds8k.eventlet = _Spawner
