"""The calls of an isolated driver for replication."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from cinderlib.drivers.port_values import DriverInfo
from cinderlib.records import VolumeRecord


class IsolatedReplication:
    """The part of :class:`cinderlib.drivers.isolation.driver.IsolatedDriver` for replication."""

    _info: DriverInfo

    def _call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def failover(
        self, volumes: Sequence[VolumeRecord], target: str | None
    ) -> tuple[str | None, list[VolumeRecord]]:
        found = self._call("failover", list(volumes), target)
        active, changed = cast("tuple[str | None, list[VolumeRecord]]", found)
        self._info = dataclasses.replace(self._info, active_backend_id=active)
        return active, changed

    def freeze(self) -> None:
        self._call("freeze")

    def thaw(self) -> None:
        self._call("thaw")
