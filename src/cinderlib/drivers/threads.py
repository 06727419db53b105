"""Let drivers that were written for eventlet's green threads run in native ones.

Three modules of Cinder's use eventlet's own primitives, which hang as soon as native threads
contend for them, or never run. After a module is loaded, they are replaced by native ones. In a
program that runs on eventlet they are not replaced.
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
    """What ``cinder.ssh_utils.SSHPool`` needs of ``eventlet.pools.Pool``.

    :param min_size: items made at once.
    :param max_size: items at most; :meth:`get` waits when all are in use.
    :param order_as_stack: whether the item given back last is given out first.
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
        """An item that nobody else has."""
        with self._changed:
            self._waiting += 1
            try:
                while not self.free_items and self.current_size >= self.max_size:
                    # SSHPool gives up broken connections by counting down, without a notification.
                    self._changed.wait(1)
            finally:
                self._waiting -= 1
            if self.free_items:
                return self.free_items.popleft()
            self.current_size += 1
        try:
            return self.create()  # connecting takes long: not under the lock
        except BaseException:
            with self._changed:
                self.current_size -= 1
                self._changed.notify()
            raise

    def put(self, item: Any) -> None:
        """Give an item back."""
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
    """In the place of ``eventlet.semaphore``."""

    Semaphore = threading.Semaphore


class _Spawner:
    """In the place of ``eventlet`` where only ``spawn`` is used."""

    @staticmethod
    def spawn(function: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        """Run the function in a daemon thread that sees what the caller sees."""
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(function, *args), kwargs=kwargs, daemon=True,
            name=getattr(function, "__name__", "spawned"),
        )  # fmt: skip
        thread.start()
        return thread


def adapt() -> None:
    """Give native primitives to those of the modules that are loaded by now; again, do nothing."""
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
