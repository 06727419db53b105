"""What a store or a service offers that keeps locks between processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class SharedLocks(Protocol):
    """Numbered locks between processes."""

    @property
    def reaches_hosts(self) -> bool:
        """Whether they hold on every host that uses the store, and not just on this one."""
        raise NotImplementedError

    def take(self, numbers: Sequence[int], timeout: float) -> Callable[[], None] | None:
        """Take locks, all or none. A holder that dies gives its locks up.

        :param numbers: ascending; who takes several takes them in this order, so that no two wait
            for each other. No thread of this process has any of them.
        :param timeout: seconds to wait for them.
        :returns: gives them back, and raises nothing; ``None`` when they were not got.
        :raises StoreError: what keeps the locks cannot be reached.
        """
        raise NotImplementedError

    def close(self) -> None: ...
