"""The interface of locks between processes, which a store or a lock service implements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class SharedLocks(Protocol):
    """Numbered locks between processes."""

    @property
    def reaches_hosts(self) -> bool:
        """Whether they exclude processes on all hosts that use the store, not only on this one."""
        raise NotImplementedError

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks, all or none. The locks of a process that dies are released.

        :param numbers: ascending; all processes take them in this order, so they never deadlock.
            No thread of this process holds any of them.
        :param timeout: seconds to wait for them.
        :returns: a function that releases them and never raises; ``None`` if they were not free in
            time.
        :raises StoreError: the lock service cannot be reached.
        """
        raise NotImplementedError

    def close(self) -> None: ...
