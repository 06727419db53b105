"""cinderlib with and without a history in one process, with any driver.

Two processes differ by some percent although they execute the same code, because their memory has
another layout. That is more than a record of the history takes.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from typing import Any

import cinderlib as cl
from benchmarks.subjects.cycle import CONNECTOR, Step, timed


class Subject:
    """:param stores: the ``persistence_config`` of each controller, by the controller's name.
    :param limits: how many operations the history of each one keeps; 0 for no history.
    :param folder: for locks and state.
    :param options: of the backend of each one.
    """

    def __init__(
        self,
        stores: dict[str, dict[str, Any]],
        limits: dict[str, int],
        folder: str,
        options: dict[str, dict[str, Any]],
    ) -> None:
        self._controllers = {
            name: cl.Controller(store, state_path=folder, history_limit=limits[name])
            for name, store in stores.items()
        }
        self._backends = {
            name: controller.backend(f"measured {name}", **options[name])
            for name, controller in self._controllers.items()
        }
        self._connector = {**CONNECTOR, "host": socket.gethostname()}

    def close(self) -> None:
        for controller in self._controllers.values():
            controller.close()

    def cycles(self, first: int, count: int, processor: bool) -> dict[str, list[float]]:
        """Seconds of ``count`` cycles with each controller, in random order.

        :param processor: whether to measure processor time.
        """
        clock = time.process_time if processor else time.perf_counter
        found: dict[str, list[float]] = {name: [] for name in self._backends}
        for number in range(first, first + count):
            for name in random.sample(list(found), len(found)):
                step = timed(lambda n, name=name: self._cycle(name, n), number, 1, clock)
                found[name] += step["four operations"]
        return found

    def _cycle(self, name: str, number: int) -> Iterator[Step]:
        def four() -> None:
            volume = self._backends[name].create_volume(size=1, name=f"volume-{number}")
            volume.disconnect(volume.connect(self._connector))
            volume.delete()

        yield "four operations", four
