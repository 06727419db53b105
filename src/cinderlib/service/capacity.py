"""The capacity of backends, from the last statistics of their drivers.

A program that shows capacities to people must not wait for an array. So a request gets the last
statistics with their age, and a thread refreshes old ones.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cinderlib import errors

_GIB = 1024**3
#: Seconds after which statistics are refreshed.
FRESH = 10.0
#: Seconds after which statistics are stale: several refreshes have failed or not ended.
STALE = 60.0
#: How long a request waits for the first statistics of a backend, in seconds.
PATIENCE = 1.5


class Reports(Protocol):
    """A backend that reports its statistics."""

    def driver_stats(self, *, refresh: bool) -> dict[str, Any]:
        """The driver's statistics, with a list ``pools``; sizes are in GiB."""


@dataclasses.dataclass(slots=True)
class _Known:
    stats: dict[str, Any] | None = None
    at: float = 0.0
    error: str | None = None
    refresh: threading.Thread | None = None
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)


class Capacities:
    """The capacity of each backend of a service.

    :param loaded: a backend by its name, loaded now if it was not.
    """

    def __init__(self, loaded: Callable[[str], Reports]) -> None:
        self._loaded = loaded
        self._guard = threading.Lock()
        self._known: dict[str, _Known] = {}

    def show(self, name: str, pool: str | None = None) -> dict[str, Any]:
        """The capacity of a configured backend, from the driver's last statistics.

        :param pool: only that of this pool.
        :returns: ``total_bytes``, ``free_bytes`` and ``used_bytes``, each ``None`` if the driver
            does not report it; ``age``, the seconds since the driver reported it; ``stale``,
            whether that is too long ago; ``error`` of the last attempt to refresh it.
        :raises InvalidInput: it has no such pool.
        :raises DriverTimeout: the storage has not reported its capacity yet.
        :raises DriverError: the same, because the storage cannot be reached.
        """
        with self._guard:
            known = self._known.setdefault(name, _Known())
            is_new = self._refresh_if_old(name, known, FRESH)
        if known.stats is None or (is_new and time.monotonic() - known.at > STALE):
            known.ended.wait(PATIENCE)
        stats, at, error = known.stats, known.at, known.error
        if stats is None:
            if error is not None:
                raise errors.DriverError(
                    f"The capacity of backend {name!r} is not known: {error}", resource=name
                )
            raise errors.DriverTimeout(
                f"The storage of backend {name!r} has not reported its capacity yet; ask again",
                resource=name,
            )
        age = time.monotonic() - at
        return {
            "backend": name,
            **_sums(name, stats, pool),
            "age": round(age, 1),
            "stale": age > STALE,
            "error": error,
        }

    def refresh(self, name: str, *, older_than: float) -> None:
        """Start to refresh the statistics of a backend if they are old; does not wait.

        :param older_than: seconds.
        """
        with self._guard:
            self._refresh_if_old(name, self._known.setdefault(name, _Known()), older_than)

    def _refresh_if_old(self, name: str, known: _Known, limit: float) -> bool:
        """:returns: whether this started one; one that runs already may hang."""
        is_old = known.stats is None or time.monotonic() - known.at > limit
        if is_old and (known.refresh is None or not known.refresh.is_alive()):
            known.ended.clear()
            # Not a thread of the pool: an array that does not answer must not occupy one.
            known.refresh = threading.Thread(target=self._refresh, args=(name, known), daemon=True)
            known.refresh.start()
            return True
        return False

    def _refresh(self, name: str, known: _Known) -> None:
        try:
            stats = self._loaded(name).driver_stats(refresh=True)
            known.stats, known.at, known.error = stats, time.monotonic(), None
        except errors.CinderlibError as exc:
            known.error = str(exc)
        finally:
            known.ended.set()


def _sums(name: str, stats: Mapping[str, Any], pool: str | None) -> dict[str, int | None]:
    pools = stats["pools"]
    if pool is not None:
        pools = [each for each in pools if each["pool_name"] == pool]
        if not pools:
            known = ", ".join(each["pool_name"] for each in stats["pools"])
            raise errors.InvalidInput(f"Backend {name!r} has no pool {pool!r}; it has {known}")
    total = _sum(pools, "total_capacity_gb")
    free = _sum(pools, "free_capacity_gb")
    used = None if total is None or free is None else max(0, total - free)
    return {"total_bytes": total, "free_bytes": free, "used_bytes": used}


def _sum(pools: list[Mapping[str, Any]], field: str) -> int | None:
    values = [each.get(field) for each in pools]
    numbers = [value for value in values if isinstance(value, int | float) and math.isfinite(value)]
    return int(sum(numbers) * _GIB) if len(numbers) == len(values) else None
