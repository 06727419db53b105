"""Only the new cinderlib: fast creation of records, streams, and pages."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

from benchmarks.subjects import library
from benchmarks.subjects.cycle import CONNECTOR, Step, timed
from cinderlib.cli import storefile
from cinderlib.persistence.base import Put
from cinderlib.records import ConnectionRecord, Secret, SnapshotRecord, VolumeRecord, new_id

BATCH = 1000
PAGE = 100


class Subject(library.Subject):
    """In addition to the requests of both libraries, requests about many volumes."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.controller = self.backend.controller
        self.filled = 0
        self._middle: tuple[int, Any] = 0, None

    def fill(self, total: int) -> int:
        """Add volumes to the store until it has ``total``."""
        store = self.controller.store
        for first in range(self.filled, total, BATCH):
            store.apply(
                *[
                    Put(self._volume(f"many-{number}"))
                    for number in range(first, min(first + BATCH, total))
                ]
            )
        self.filled = max(self.filled, total)
        return self.filled

    def _volume(self, name: str, **fields: Any) -> VolumeRecord:
        return VolumeRecord(
            id=new_id(), backend="null", size=1, host="h@null#p", name=name, status="available",
            **fields,
        )  # fmt: skip

    def stream(self) -> dict[str, float]:
        """Seconds to iterate over all volumes, and the increase of memory meanwhile."""
        gc.collect()
        before, highest, count = library.rss(), 0, 0
        start = time.perf_counter()
        for _ in self.controller.volumes():
            count += 1
            if not count % 10_000:
                highest = max(highest, library.rss())
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "count": count, "grown": max(highest - before, 0)}

    def hold(self) -> float:
        """Bytes of memory for each volume of a list."""
        tracemalloc.start()
        held = self.backend.volumes
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return grown / len(held)

    def lookups(self, count: int) -> dict[str, list[float]]:
        """The cost of a page, look-ups and a deletion among the existing volumes."""
        first = next(iter(self.controller.volumes(limit=1)))
        middle = self._found_middle()

        def cycle(number: int) -> Iterator[Step]:
            name = f"many-{number * 7919 % self.filled}"
            yield "page of 100", lambda: list(self.controller.volumes(after=middle, limit=PAGE))
            yield "get_by_id", lambda: self.controller.volume(first.id)
            yield "get_by_name", lambda: list(self.controller.volumes(name=name))
            new = self.backend.create_volume(size=1, name="new")
            yield "delete", new.delete

        return timed(cycle, 0, count)

    def _found_middle(self) -> Any:
        """Find the volume in the middle of the store, with enough volumes after it.

        This happens only once, because reading half of a store before each round would change the
        caches and the processors that the compared process finds.
        """
        if self._middle[0] != self.filled:
            before = list(self.controller.volumes(limit=self.filled // 2))
            self._middle = self.filled, before[-1] if len(before) >= PAGE else None
        return self._middle[1]

    def dump_stream(self, path: str) -> float:
        """Seconds to write all volumes, one document on each line."""
        start = time.perf_counter()
        with open(path, "wb") as file:
            storefile.write(self.controller, self.controller.volumes(), file)
        return time.perf_counter() - start

    def load_stream(self, path: str) -> float:
        """Seconds to load the volumes from such a file, without storing them."""
        start = time.perf_counter()
        with open(path, "rb") as file:
            for line in file:
                self.controller.load(line)
        return time.perf_counter() - start

    def grow(self, snapshots: int, connections: int, count: int) -> dict[str, list[float]]:
        """The cost of a snapshot and of a connection for a volume that already has many."""
        volume = self._volume("parent", multiattach=True)
        children: list[Any] = [
            SnapshotRecord(
                id=new_id(), backend="null", volume_id=volume.id, volume_size=1,
                name=f"s{number}", status="available",
            )
            for number in range(snapshots)
        ]  # fmt: skip
        children += [
            ConnectionRecord(
                id=new_id(), backend="null", volume_id=volume.id, status="attached",
                connector={**CONNECTOR, "host": f"h{number}", "initiator": f"iqn.{number}"},
                conn_info=Secret({"driver_volume_type": "local", "data": {"device_path": "/x"}}),
            )
            for number in range(connections)
        ]  # fmt: skip
        self.controller.store.apply(Put(volume))
        for first in range(0, len(children), BATCH):
            self.controller.store.apply(*map(Put, children[first : first + BATCH]))
        user = self.controller.volume(volume.id)

        def cycle(number: int) -> Iterator[Step]:
            made: dict[str, Any] = {}

            def snapshot() -> None:
                made["snapshot"] = user.create_snapshot()

            def connect() -> None:
                made["connection"] = user.connect(CONNECTOR)

            yield "create_snapshot", snapshot
            yield "delete_snapshot", made["snapshot"].delete
            yield "connect", connect
            yield "disconnect", lambda: user.disconnect(made["connection"])

        return timed(cycle, 0, count)
