"""The calls of an isolated driver for replication."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from cinderlib.drivers.port_replication import GroupWithVolumes
from cinderlib.drivers.port_values import DriverInfo
from cinderlib.records import GroupRecord, VolumeRecord


class IsolatedReplication:
    """The part of :class:`cinderlib.drivers.isolation.driver.IsolatedDriver` for replication."""

    _info: DriverInfo

    def _call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def failover(
        self,
        volumes: Sequence[VolumeRecord],
        target: str | None,
        groups: Sequence[GroupRecord] = (),
    ) -> tuple[str | None, list[VolumeRecord], list[GroupRecord]]:
        answer = self._call("failover", list(volumes), target, list(groups))
        found = cast("tuple[str | None, list[VolumeRecord], list[GroupRecord]]", answer)
        self._info = dataclasses.replace(self._info, active_backend_id=found[0])
        return found

    def enable_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord]
    ) -> GroupWithVolumes:
        return cast("GroupWithVolumes", self._call("enable_replication", group, list(volumes)))

    def disable_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord]
    ) -> GroupWithVolumes:
        return cast("GroupWithVolumes", self._call("disable_replication", group, list(volumes)))

    def failover_replication(
        self, group: GroupRecord, volumes: Sequence[VolumeRecord], target: str
    ) -> GroupWithVolumes:
        found = self._call("failover_replication", group, list(volumes), target)
        return cast("GroupWithVolumes", found)

    def freeze(self) -> None:
        self._call("freeze")

    def thaw(self) -> None:
        self._call("thaw")
