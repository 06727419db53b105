"""The calls of a driver that move volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cinderlib.drivers import translate
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.scope import Calling
from cinderlib.records import Record, VolumeRecord


class MigratingDriver:
    """The part of :class:`cinderlib.drivers.host.LocalDriver` that moves volumes."""

    _driver: Any
    _context: Any

    def _calling(self, what: str, *given: Record) -> Calling:
        raise NotImplementedError

    def migrate_volume(
        self, volume: VolumeRecord, host: str, capabilities: Mapping[str, Any]
    ) -> VolumeRecord | None:
        with self._calling(TASKS["migrate_volume"], volume) as call:
            obj = translate.volume(self._context, volume)
            destination = {
                "host": host,
                "cluster_name": None,
                "capabilities": translate.plain(capabilities),
            }
            moved, update = self._driver.migrate_volume(self._context, obj, destination)
            return translate.fold(call, volume, obj, update) if moved else None

    def update_migrated_volume(
        self, volume: VolumeRecord, copy: VolumeRecord, status: str
    ) -> VolumeRecord:
        with self._calling(TASKS["update_migrated_volume"], copy, volume) as call:
            new = translate.volume(self._context, copy)
            # As in Cinder's manager: the name and the location are those of the copy, unless the
            # driver returns others.
            update = {"_name_id": new.name_id, "provider_location": new.provider_location}
            try:
                answer = self._driver.update_migrated_volume(
                    self._context, translate.volume(self._context, volume), new, status
                )
            except NotImplementedError:
                answer = None
            return translate.fold(call, copy, new, {**update, **(answer or {})})
