"""A backend whose verbs are done by the service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import quote

import msgspec

from cinderlib.client.remote_resource import Service
from cinderlib.client.replication import RemoteReplication
from cinderlib.client.transport import Transport
from cinderlib.drivers.port_values import DriverInfo, Manageable, Page
from cinderlib.objects.backend import Backend
from cinderlib.objects.volume import Volume
from cinderlib.operations.capabilities import Capability
from cinderlib.operations.discrepancies import Discrepancy


class RemoteBackend(RemoteReplication, Backend):
    """A backend of a service."""

    @classmethod
    def _of(cls, controller: Any, name: str, transport: Transport) -> RemoteBackend:
        """The backend of that name.

        :param transport: leads to the service of the controller.
        """
        driver: Any = RemoteDriver(transport, name)
        return cast(RemoteBackend, cls._make(controller, name, {}, driver))

    @property
    def _service(self) -> Service:
        return cast(Service, self.controller)

    def capabilities(self) -> dict[str, Capability]:
        path = f"/v1/backends/{quote(self.id, safe='')}/capabilities"
        return {each["operation"]: Capability(**each) for each in self._service._read(path)}

    def capacity(self) -> dict[str, Any]:
        """The capacity that the service knows, without waiting for the storage.

        :returns: ``total_bytes``, ``free_bytes`` and ``used_bytes`` (``None`` if the driver does
            not report it), ``age`` in seconds, ``stale``, and ``error`` of the last refresh.
        :raises DriverError: the storage has not reported its capacity yet.
        """
        path = f"/v1/backends/{quote(self.id, safe='')}/capacity"
        known: dict[str, Any] = self._service._read(path)
        return known

    def _manageable(self, kind: str, wanted: Page) -> list[Manageable]:
        query = {
            "limit": str(wanted.limit),
            "offset": str(wanted.offset),
            "sort_keys": ",".join(wanted.sort_keys),
            "sort_dirs": ",".join(wanted.sort_dirs),
        }
        if wanted.marker is not None:
            query["marker"] = msgspec.json.encode(wanted.marker).decode()
        path = f"/v1/backends/{quote(self.id, safe='')}/manageable-{kind}s"
        return [Manageable(**each) for each in self._service._read(path, **query)]

    def restore_exports(self) -> list[Volume]:
        ids = self._service._change("POST", f"/v1/backends/{self.id}/restore-exports", {})
        return [self._service.volume(id) for id in ids]

    def reconcile(self, *, repair: bool = False, remove: Iterable[str] = ()) -> list[Discrepancy]:
        wanted = [remove] if isinstance(remove, str) else list(remove)
        found = self._service._change(
            "POST", f"/v1/backends/{self.id}/reconcile", {"repair": repair, "remove": wanted}
        )
        return [Discrepancy(**each) for each in found]


class RemoteDriver:
    """Answers the questions of a backend to its driver by requests to the service."""

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport = transport
        self._path = f"/v1/backends/{quote(name, safe='')}"
        self._info: DriverInfo | None = None

    @property
    def info(self) -> DriverInfo:
        if self._info is None:
            self._info = DriverInfo(**self._transport.get(self._path)["driver"], secrets={})
        return self._info

    def stats(self, *, refresh: bool = False) -> dict[str, Any]:
        stats: dict[str, Any] = self._transport.get(
            f"{self._path}/stats", refresh="true" if refresh else None
        )
        return stats

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        self._transport.change("POST", f"{self._path}/validate-connector", {"connector": connector})

    def attribute(self, name: str) -> Any:
        raise AttributeError(f"the driver's {name} cannot be reached through the service")

    def close(self) -> None:
        """Nothing to close: the driver is the service's."""
