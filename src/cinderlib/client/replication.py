"""The replication of a backend of a service."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

from cinderlib.client.remote_resource import Service
from cinderlib.drivers.port import Driver
from cinderlib.objects.replicating import ReplicatingBackend, Replication


class RemoteReplication(ReplicatingBackend):
    """The part of :class:`cinderlib.client.backend.RemoteBackend` for replication."""

    @property
    def replication(self) -> Replication:
        return _state(self._replication_service._read(self._replication_path("replication")))

    def _active_driver(self) -> Driver:
        return self._driver

    def _fail_over(self, to: str | None) -> Replication:
        self._stats = None
        return self._replicated("failover", {"to": to})

    def freeze(self) -> Replication:
        return self._replicated("freeze", {})

    def thaw(self) -> Replication:
        return self._replicated("thaw", {})

    @property
    def _replication_service(self) -> Service:
        return cast(Service, self.controller)

    def _replication_path(self, verb: str) -> str:
        return f"/v1/backends/{quote(self._name, safe='')}/{verb}"

    def _replicated(self, verb: str, body: dict[str, Any]) -> Replication:
        path = self._replication_path(verb)
        return _state(self._replication_service._change("POST", path, body))


def _state(answer: dict[str, Any]) -> Replication:
    return Replication(**{**answer, "targets": tuple(answer["targets"])})
