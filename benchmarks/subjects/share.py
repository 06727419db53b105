"""Real drivers: their share of an operation's time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import cinderlib as cl
from benchmarks.subjects.cycle import CONNECTOR, Step

CALLS = (
    "create_volume",
    "delete_volume",
    "create_snapshot",
    "delete_snapshot",
    "validate_connector",
    "create_export",
    "initialize_connection",
    "terminate_connection",
    "remove_export",
)


class Subject:
    """:param options: of the backend.
    :param connector: of the host that connects volumes.
    """

    def __init__(
        self, store: dict[str, Any], folder: str, options: dict[str, Any], host: str
    ) -> None:
        self._controller = cl.Controller(store, state_path=folder)
        self._backend = self._controller.backend("real", **options)
        self._connector = {**CONNECTOR, "host": host}
        self._theirs = 0.0
        # The driver object itself, which is not part of the library's interface.
        driver: Any = self._backend._driver._driver  # type: ignore[attr-defined]
        for name in CALLS:
            setattr(driver, name, self._timed(getattr(driver, name)))

    def close(self) -> None:
        self._controller.close()

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self._theirs += time.perf_counter() - start

        return timed

    def shares(self, count: int) -> dict[str, list[tuple[float, float]]]:
        """For each step, its seconds and the driver's share of them."""
        found: dict[str, list[tuple[float, float]]] = {}
        for number in range(count):
            for name, step in self._cycle(number):
                self._theirs = 0.0
                start = time.perf_counter()
                step()
                found.setdefault(name, []).append((time.perf_counter() - start, self._theirs))
        return found

    def _cycle(self, number: int) -> Iterator[Step]:
        made: dict[str, Any] = {}

        def create() -> None:
            made["volume"] = self._backend.create_volume(size=1, name=f"volume-{number}")

        def snapshot() -> None:
            made["snapshot"] = made["volume"].create_snapshot()

        def connect() -> None:
            made["connection"] = made["volume"].connect(self._connector)

        yield "create", create
        yield "create_snapshot", snapshot
        yield "connect", connect
        yield "disconnect", lambda: made["volume"].disconnect(made["connection"])
        yield "delete_snapshot", made["snapshot"].delete
        yield "delete", made["volume"].delete
