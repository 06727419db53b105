"""The calls of a driver for replication between storage systems, as Cinder's manager does them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cinder.objects.fields import ReplicationStatus

from cinderlib.drivers import translate
from cinderlib.drivers.port import TASKS
from cinderlib.drivers.port_replication import DEFAULT, GroupWithVolumes
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.drivers.scope import Calling
from cinderlib.records import GroupRecord, Record, VolumeRecord, replace

#: What drivers report for volumes and groups that failed.
_REPORTED_FAILURES = (ReplicationStatus.ERROR, ReplicationStatus.FAILOVER_ERROR)


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
        self,
        volumes: Sequence[VolumeRecord],
        target: str | None,
        groups: Sequence[GroupRecord] = (),
    ) -> tuple[str | None, list[VolumeRecord], list[GroupRecord]]:
        with self._calling(TASKS["failover"], *volumes, *groups) as call:
            # Some of Cinder's drivers have no such method, not even one that raises.
            failover = getattr(self._driver, "failover_host", None)
            if failover is None:
                raise NotImplementedError("the driver has no failover_host()")
            objs = [translate.volume(self._context, each) for each in volumes]
            # Some of Cinder's drivers do not accept groups, and return no changes for them.
            given: dict[str, list[Any]] = {}
            if _accepts(failover, "groups"):
                given["groups"] = [translate.group(self._context, each) for each in groups]
            active, changes, *others = failover(self._context, objs, secondary_id=target, **given)
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
            of_groups = (others[0] if others else None) or ()
            failed = {each["group_id"] for each in of_groups if _reports_failure(each["updates"])}
            settled = [
                replace(each, replication_status=ReplicationStatus.ERROR)
                if each.id in failed
                else replace(each, replication_status=status, active_backend_id=active)
                for each in groups
            ]
        self._info = dataclasses.replace(self._info, active_backend_id=active)
        return active, changed, settled

    def enable_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord]
    ) -> GroupWithVolumes:
        status = ReplicationStatus.ENABLED
        return self._replicate("enable_replication", status, group, volumes)

    def disable_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord]
    ) -> GroupWithVolumes:
        status = ReplicationStatus.DISABLED
        return self._replicate("disable_replication", status, group, volumes)

    def failover_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord], target: str
    ) -> GroupWithVolumes:
        is_back = target == DEFAULT
        status = ReplicationStatus.ENABLED if is_back else ReplicationStatus.FAILED_OVER
        active = None if is_back else target
        found, changed = self._replicate("failover_replication", status, group, volumes, target)
        if found.replication_status == ReplicationStatus.ERROR:
            return found, changed
        return replace(found, active_backend_id=active), changed

    def _replicate(
        self,
        method: str,
        status: str,
        group: GroupRecord,
        volumes: Sequence[VolumeRecord],
        *arguments: str,
    ) -> GroupWithVolumes:
        """Call a driver's method for the replication of a group.

        :param status: of the group and its volumes afterwards.
        """
        with self._calling(TASKS[method], group, *volumes) as call:
            given = [replace(each, replication_status=group.replication_status) for each in volumes]
            objs = [translate.volume(self._context, each) for each in given]
            answer = getattr(self._driver, method)(
                self._context, translate.group(self._context, group), objs, *arguments
            )
            own, updates = answer or (None, None)
            by_id = {each["id"]: each for each in updates or ()}
            failed = any(map(_reports_failure, (own or {}, *by_id.values())))
            changed = []
            for record, obj in zip(given, objs, strict=True):
                update = dict(by_id.get(record.id) or {})
                has_failed = _reports_failure(update)
                has_failed = has_failed or (failed and "replication_status" not in update)
                # The operation determines these; the status of a volume does not change.
                for field in ("id", "status", "replication_status"):
                    update.pop(field, None)
                folded = translate.fold(call, record, obj, update)
                settled = ReplicationStatus.ERROR if has_failed else status
                changed.append(replace(folded, replication_status=settled))
            group_status = ReplicationStatus.ERROR if failed else status
            return replace(group, replication_status=group_status), changed

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


def _reports_failure(update: Mapping[str, Any]) -> bool:
    """Whether a driver reports with a model update that the replication failed."""
    return update.get("status") == "error" or update.get("replication_status") in _REPORTED_FAILURES


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
