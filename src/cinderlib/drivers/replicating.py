"""The calls of a driver for replication between storage systems, as Cinder's manager does them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cinder.objects.fields import ReplicationStatus

from cinderlib.drivers import translate
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.port_replication import DEFAULT
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.drivers.scope import Calling
from cinderlib.records import Record, VolumeRecord, replace


def targets(conf: Any) -> tuple[str, ...]:
    """The ``backend_id`` of each ``replication_device`` of a backend.

    :param conf: the options of the backend.
    """
    devices = conf.safe_get("replication_device") or ()
    return tuple(str(each["backend_id"]) for each in devices if each.get("backend_id"))


class ReplicatingDriver:
    """The part of :class:`cinderlib.drivers.host.LocalDriver` for replication."""

    _driver: Any
    _context: Any
    _info: DriverInfo

    def _calling(self, what: str, *given: Record) -> Calling:
        raise NotImplementedError

    def failover(
        self, volumes: Sequence[VolumeRecord], target: str | None
    ) -> tuple[str | None, list[VolumeRecord]]:
        with self._calling(TASKS["failover"], *volumes) as call:
            # Some of Cinder's drivers have no such method, not even one that raises.
            failover = getattr(self._driver, "failover_host", None)
            if failover is None:
                raise NotImplementedError("the driver has no failover_host()")
            objs = [translate.volume(self._context, each) for each in volumes]
            # Some of Cinder's drivers do not accept groups, and return no changes for them.
            groups: dict[str, list[Any]] = {"groups": []} if _accepts(failover, "groups") else {}
            active, changes, *_ = failover(self._context, objs, secondary_id=target, **groups)
            by_id = {each["volume_id"]: each["updates"] or {} for each in changes or ()}
            active = None if target == DEFAULT or not active else str(active)
            status = ReplicationStatus.FAILED_OVER if active else ReplicationStatus.ENABLED
            changed = [
                _settled(
                    translate.fold(call, record, obj, by_id.get(record.id)),
                    by_id.get(record.id) or {},
                    status,
                )
                for record, obj in zip(volumes, objs, strict=True)
            ]
        self._info = dataclasses.replace(self._info, active_backend_id=active)
        return active, changed

    def freeze(self) -> None:
        self._announce("freeze", "freeze_backend")

    def thaw(self) -> None:
        self._announce("thaw", "thaw_backend")

    def _announce(self, task: str, method: str) -> None:
        with self._calling(TASKS[task]):
            call = getattr(self._driver, method, None)
            if call is not None:
                call(self._context)


def _accepts(function: Callable[..., Any], name: str) -> bool:
    parameters = inspect.signature(function).parameters
    return name in parameters or any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()
    )


def _settled(record: VolumeRecord, update: Mapping[str, Any], status: str) -> VolumeRecord:
    """The record with the status that Cinder's manager gives to a volume.

    :param update: what the driver returned for the volume.
    :param status: of a volume that the driver returned no other status for.
    """
    own = update.get("replication_status")
    if update.get("status") == "error":
        own = ReplicationStatus.FAILOVER_ERROR
    elif own in (None, ReplicationStatus.FAILED_OVER):
        own = status
    if own == ReplicationStatus.FAILOVER_ERROR:
        return replace(record, replication_status=own, status="error")
    return replace(record, replication_status=own)
