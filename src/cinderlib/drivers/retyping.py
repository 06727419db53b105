"""Asks drivers to change the type of a volume, as Cinder's manager does."""

from __future__ import annotations

from typing import Any

from cinder import objects
from cinder.volume import volume_types, volume_utils

from cinderlib.drivers import translate
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.scope import Calling
from cinderlib.persistence.volume_types import id_of
from cinderlib.records import Record, TypeSpecs, VolumeRecord, replace


def _replicated(volume: VolumeRecord, change: tuple[Any, Any] | None) -> VolumeRecord:
    """The volume with the replication status that Cinder's manager sets, if the driver does not.

    :param change: the values of ``replication_enabled`` before and after.
    """
    if change is None or change[0] == change[1]:
        return volume
    status = "enabled" if volume_utils.is_boolean_str(change[1]) else "disabled"
    return replace(volume, replication_status=status)


class RetypingDriver:
    """The part of :class:`cinderlib.drivers.host.LocalDriver` for types."""

    _driver: Any
    _context: Any

    def _calling(self, what: str, *given: Record) -> Calling:
        raise NotImplementedError

    def stats(self, *, refresh: bool = False) -> dict[str, Any]:
        raise NotImplementedError

    def retype(self, volume: VolumeRecord, target: TypeSpecs) -> VolumeRecord | None:
        host = {
            "host": volume.host,
            "cluster_name": volume.cluster_name,
            "capabilities": self._capabilities(volume.host.partition("#")[2]),
        }
        with self._calling(TASKS["retype"], volume) as call:
            before, after = TypeSpecs.of(volume), target
            if before.id == after.id:  # own specs before and after: the driver needs two types
                after = replace(target, id=id_of(volume.id))
            call.types |= {before.id: before, after.id: after}
            diff, are_equal = volume_types.volume_types_diff(self._context, before.id, after.id)
            if are_equal:
                return replace(volume, **target.fields())
            obj = translate.volume(self._context, volume)
            new_type = objects.VolumeType.get_by_id(self._context, after.id)
            answer = self._driver.retype(self._context, obj, new_type, diff, host)
            retyped, update = answer if isinstance(answer, tuple) else (answer, None)
            if not retyped:
                return None
            found = translate.fold(call, volume, obj, update)
            if not (update or {}).get("replication_status"):
                found = _replicated(found, diff["extra_specs"].get("replication_enabled"))
            return replace(found, **target.fields())

    def _capabilities(self, pool: str) -> dict[str, Any]:
        """The stats of a backend with those of the volume's pool, as the scheduler has them."""
        reported = self.stats()
        of_pool: dict[str, Any] = next(
            (each for each in reported["pools"] if each["pool_name"] == pool), {}
        )
        return {**reported, **of_pool}
