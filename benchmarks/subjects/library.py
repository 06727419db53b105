"""Either cinderlib: uses only the API that both have."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import cinderlib as cl
from benchmarks.subjects.cycle import CONNECTOR, Step, timed


def rss() -> int:
    """Resident memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Subject:
    """:param store: the ``persistence_config``.
    :param folder: for locks and state.
    :param driver: a class of :mod:`benchmarks.nulldriver`.
    """

    def __init__(self, store: dict[str, Any], folder: str, driver: str = "NullDriver") -> None:
        mine: dict[str, Any] = {"state_path": folder} if hasattr(cl, "Controller") else {}
        cl.setup(persistence_config=store, file_locks_path=folder, **mine)
        driver = f"benchmarks.nulldriver.{driver}"
        self.backend = cl.Backend(volume_backend_name="null", volume_driver=driver)

    def close(self) -> None:
        """Does nothing, because the process ends."""

    # --- sequential operations

    def cycles(self, first: int, count: int) -> dict[str, list[float]]:
        return timed(self._cycle, first, count)

    def _cycle(self, number: int) -> Iterator[Step]:
        made: dict[str, Any] = {}

        def create() -> None:
            made["volume"] = self.backend.create_volume(size=1, name=f"volume-{number}")

        def connect() -> None:
            made["connection"] = volume.connect(CONNECTOR)

        yield "create", create
        volume = made["volume"]
        yield "get_by_id", lambda: cl.Volume.get_by_id(volume.id)
        yield "get_by_name", lambda: cl.Volume.get_by_name(volume.name)
        yield "connect", connect
        yield "disconnect", lambda: volume.disconnect(made["connection"])
        yield "delete", volume.delete

    def attaches(self, count: int) -> dict[str, list[float]]:
        volume = self.backend.create_volume(size=1, name="attached")

        def cycle(number: int) -> Iterator[Step]:
            yield "attach", volume.attach
            yield "detach", volume.detach

        found = timed(cycle, 0, count)
        volume.delete()
        return found

    # --- many volumes

    def create(self, count: int, prefix: str = "many") -> float:
        """Seconds to create ``count`` volumes."""
        start = time.perf_counter()
        for number in range(count):
            self.backend.create_volume(size=1, name=f"{prefix}-{number}")
        return time.perf_counter() - start

    def list_all(self) -> dict[str, float]:
        """Seconds to list all volumes, and their number."""
        start = time.perf_counter()
        found = self.backend.volumes_filtered()  # 5.2.0 caches ``volumes``
        return {"seconds": time.perf_counter() - start, "count": len(found)}

    def dump(self, path: str) -> float:
        """Seconds to dump the backend with all its volumes to JSON."""
        start = time.perf_counter()
        text = self.backend.dumps
        seconds = time.perf_counter() - start
        with open(path, "w") as file:
            file.write(text)
        return seconds

    def load(self, path: str) -> float:
        """Seconds to load the volumes from that JSON, without storing them."""
        with open(path) as file:
            volumes = json.load(file)["volumes"]
        texts = [json.dumps(volume) for volume in volumes]
        start = time.perf_counter()
        for text in texts:
            cl.load(text)
        return time.perf_counter() - start

    # --- concurrent operations

    def threads(self, count: int, seconds: float) -> float:
        """Volumes created per second by ``count`` threads."""
        end = time.perf_counter() + seconds
        made = [0] * count

        def work(number: int) -> None:
            while time.perf_counter() < end:
                self.backend.create_volume(size=1)
                made[number] += 1

        start = time.perf_counter()
        workers = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(made) / (time.perf_counter() - start)

    def loop(self, until: float) -> list[float]:
        """Seconds for each cycle of create, connect, disconnect, delete, until the time
        ``until``."""
        found = []
        while time.time() < until:
            start = time.perf_counter()
            volume = self.backend.create_volume(size=1)
            volume.disconnect(volume.connect(CONNECTOR))
            volume.delete()
            found.append(time.perf_counter() - start)
        return found
