"""Existing volumes and snapshots: the calls of a driver that list them, and take them over."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from cinder import exception

from cinderlib import errors
from cinderlib.drivers import listing, rbd, translate
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.port_values import Manageable, Page
from cinderlib.drivers.scope import Calling, Scope
from cinderlib.records import Record, SnapshotRecord, VolumeRecord

_log = logging.getLogger(__name__)

R = TypeVar("R", VolumeRecord, SnapshotRecord)


class ManagingDriver:
    """The part of :class:`cinderlib.drivers.host.LocalDriver` for existing resources."""

    _driver: Any
    _scope: Scope
    _context: Any

    def _calling(self, what: str, *given: Record) -> Calling:
        raise NotImplementedError

    def _created(self, volume: VolumeRecord) -> VolumeRecord:
        raise NotImplementedError

    def _snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> Any:
        raise NotImplementedError

    # --- lists

    def manageable_volumes(self, known: Sequence[VolumeRecord], page: Page) -> list[Manageable]:
        with self._calling(TASKS["manageable_volumes"]):
            objects = [translate.volume(self._context, record) for record in known]
            answer = self._driver.get_manageable_volumes(objects, *_arguments(page))
            return _entries("volume", objects, answer)

    def manageable_snapshots(self, known: Sequence[SnapshotRecord], page: Page) -> list[Manageable]:
        with self._calling(TASKS["manageable_snapshots"]):
            objects = [translate.snapshot(self._context, record) for record in known]
            answer = self._driver.get_manageable_snapshots(objects, *_arguments(page))
            return _entries("snapshot", objects, answer)

    # --- volumes

    def manageable_volume_size(self, volume: VolumeRecord, reference: Mapping[str, Any]) -> int:
        with self._calling(TASKS["manageable_volume_size"], volume):
            self._refuse_managed(volume, reference)
            obj = translate.volume(self._context, volume)
            return _gib(self._driver.manage_existing_get_size(obj, translate.plain(reference)))

    def manage_volume(self, volume: VolumeRecord, reference: Mapping[str, Any]) -> VolumeRecord:
        with self._calling(TASKS["manage_volume"], volume) as call:
            obj = translate.volume(self._context, volume)
            if rbd.has_name_already(self._driver, obj, reference):
                update = rbd.manage_volume(self._driver, obj)
            else:
                update = self._driver.manage_existing(obj, translate.plain(reference))
            return self._created(translate.fold(call, volume, obj, update))

    def unmanage_volume(self, volume: VolumeRecord) -> None:
        with (
            self._calling(TASKS["unmanage_volume"], volume),
            contextlib.suppress(exception.VolumeNotFound),
        ):
            self._driver.unmanage(translate.volume(self._context, volume))

    # --- snapshots

    def manageable_snapshot_size(
        self, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
    ) -> int:
        with self._calling(TASKS["manageable_snapshot_size"], snapshot, volume):
            self._refuse_managed(snapshot, reference)
            size = self._driver.manage_existing_snapshot_get_size(
                snapshot=self._snapshot(snapshot, volume), existing_ref=translate.plain(reference)
            )
            return _gib(size)

    def manage_snapshot(
        self, snapshot: SnapshotRecord, volume: VolumeRecord, reference: Mapping[str, Any]
    ) -> SnapshotRecord:
        with self._calling(TASKS["manage_snapshot"], snapshot, volume) as call:
            obj = self._snapshot(snapshot, volume)
            if rbd.has_name_already(self._driver, obj, reference):
                rbd.manage_snapshot(self._driver, obj)
                update = None
            else:
                update = self._driver.manage_existing_snapshot(
                    snapshot=obj, existing_ref=translate.plain(reference)
                )
            return translate.fold(call, snapshot, obj, update)

    def unmanage_snapshot(self, snapshot: SnapshotRecord, volume: VolumeRecord) -> None:
        with (
            self._calling(TASKS["unmanage_snapshot"], snapshot, volume),
            contextlib.suppress(exception.SnapshotNotFound),
        ):
            self._driver.unmanage_snapshot(self._snapshot(snapshot, volume))

    def _refuse_managed(self, record: R, reference: Mapping[str, Any]) -> None:
        """Not all drivers refuse the name of a resource that has a record: RBD's would take it away
        from that record."""
        if not listing.has_part_of_id(reference):
            return
        where: dict[str, str] = {"backend": record.backend}
        known: list[VolumeRecord | SnapshotRecord] = [
            *self._scope.store.find(VolumeRecord, where),
            *self._scope.store.find(SnapshotRecord, where),
        ]
        for other in known:
            if other.id != record.id and listing.contains_id(reference, other.id):
                raise errors.InvalidState(
                    f"Backend {record.backend!r} already manages this as {other.kind} {other.id}."
                    " No change was made",
                    resource=record.id,
                )


def _arguments(page: Page) -> tuple[Any, ...]:
    """The arguments that Cinder's manager passes after the known resources."""
    marker = None if page.marker is None else translate.plain(page.marker)
    return marker, page.limit, page.offset, list(page.sort_keys), list(page.sort_dirs)


def _gib(size: Any) -> int:
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < math.inf:
        raise ValueError(f"the driver reports {size!r} as its size in GiB")
    return math.ceil(size)


def _entries(kind: str, known: Sequence[Any], answer: Iterable[Any] | None) -> list[Manageable]:
    """Convert a driver's list; entries without a reference are omitted."""
    ids = {obj.name: obj.id for obj in known}
    found = []
    for entry in answer or ():
        entry = translate.plain(entry)
        reference = entry.get("reference") if isinstance(entry, dict) else None
        if not isinstance(reference, dict) or not reference:
            _log.debug("A %s in the driver's list has no reference: %r", kind, entry)
            continue
        size = entry.get("size")
        id = entry.get("cinder_id") or ids.get(listing.name_of(reference))
        safe = bool(entry.get("safe_to_manage", True)) and not id
        reason = entry.get("reason_not_safe") or ("already managed" if id else "")
        source = entry.get("source_reference")
        found.append(
            Manageable(
                kind=kind,
                reference=reference,
                size=math.ceil(size) if isinstance(size, int | float) else None,
                safe_to_manage=safe,
                reason_not_safe="" if safe else str(reason),
                resource_id=str(id) if id else None,
                source_reference=source if isinstance(source, dict) else None,
                extra_info=str(entry.get("extra_info") or ""),
            )
        )
    return found
