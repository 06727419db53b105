"""The extents of volumes and snapshots, for drivers that can list them.

Cinder has no method for them. cinderlib asks librbd for RBD; another driver can have a method
``extents(name, since, offset)``, as the driver ``file``: names on the storage, and the first byte
of the answer. It returns ranges as (offset, length, whether they have data), sorted, and the end of
the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cinderlib.drivers import rbd, translate
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.port_values import Extent, Extents
from cinderlib.drivers.scope import Calling
from cinderlib.records import Record, SnapshotRecord, VolumeRecord


class ExtentsDriver:
    """The part of :class:`cinderlib.drivers.host.LocalDriver` for extents."""

    _driver: Any
    _context: Any

    def _calling(self, what: str, *given: Record) -> Calling:
        raise NotImplementedError

    def volume_extents(
        self, volume: VolumeRecord, since: SnapshotRecord | None, offset: int
    ) -> Extents:
        with self._calling(TASKS["volume_extents"], volume):
            name = translate.volume(self._context, volume).name
            return self._extents(name, name, None, since, offset)

    def snapshot_extents(
        self,
        snapshot: SnapshotRecord,
        volume: VolumeRecord,
        since: SnapshotRecord | None,
        offset: int,
    ) -> Extents:
        with self._calling(TASKS["snapshot_extents"], snapshot, volume):
            name = translate.snapshot(self._context, snapshot).name
            image = translate.volume(self._context, volume).name
            return self._extents(name, image, name, since, offset)

    def _extents(
        self, name: str, image: str, snapshot: str | None, since: SnapshotRecord | None, offset: int
    ) -> Extents:
        base = None if since is None else translate.snapshot(self._context, since).name
        if rbd.is_rbd(self._driver):
            found, end = rbd.extents(self._driver, image, snapshot, base, offset)
        else:
            found, end = self._driver.extents(name, base, offset)
        return Extents(_joined(found, offset, end, every=since is None), end)


def _joined(
    found: Iterable[tuple[int, int, bool]], offset: int, end: int, *, every: bool
) -> tuple[Extent, ...]:
    """Join neighbours of the same kind.

    :param every: add the ranges between them, which are zero.
    """
    joined: list[Extent] = []

    def add(start: int, length: int, kind: str) -> None:
        if joined and joined[-1].kind == kind and joined[-1].offset + joined[-1].length == start:
            start, length = joined[-1].offset, joined[-1].length + length
            joined.pop()
        if length:
            joined.append(Extent(start, length, kind))

    for start, length, has_data in found:
        if every and start > offset:
            add(offset, start - offset, "zero")
        add(start, length, "data" if has_data else "zero")
        offset = start + length
    if every and offset < end:
        add(offset, end - offset, "zero")
    return tuple(joined)
