"""A backend whose verbs are done by the service."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import quote

import msgspec

from cinderlib.client.remote_resource import Service
from cinderlib.drivers.port import Manageable, Page
from cinderlib.objects.backend import Backend
from cinderlib.objects.volume import Volume
from cinderlib.operations.capabilities import Capability
from cinderlib.operations.discrepancies import Discrepancy


class RemoteBackend(Backend):
    """A backend of a service."""

    @classmethod
    def of(cls, controller: Any, name: str, driver: Any) -> RemoteBackend:
        """The backend of that name.

        :param driver: answers for the service's driver.
        """
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
