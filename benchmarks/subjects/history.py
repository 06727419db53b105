"""cinderlib with and without a history, with any driver."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import cinderlib as cl
from benchmarks.subjects.cycle import CONNECTOR, Step, timed


class Subject:
    """:param store: the ``persistence_config``.
    :param folder: for locks and state.
    :param options: of the backend.
    :param limit: how many operations the history keeps; 0 for no history.
    """

    def __init__(
        self, store: dict[str, Any], folder: str, options: dict[str, Any], limit: int
    ) -> None:
        self._controller = cl.Controller(store, state_path=folder, history_limit=limit)
        self._backend = self._controller.backend("measured", **options)
        self._connector = {**CONNECTOR, "host": socket.gethostname()}

    def close(self) -> None:
        self._controller.close()

    def cycles(self, first: int, count: int) -> dict[str, list[float]]:
        return timed(self._cycle, first, count, time.process_time)

    def _cycle(self, number: int) -> Iterator[Step]:
        def four() -> None:
            volume = self._backend.create_volume(size=1, name=f"volume-{number}")
            volume.disconnect(volume.connect(self._connector))
            volume.delete()

        yield "four operations", four
