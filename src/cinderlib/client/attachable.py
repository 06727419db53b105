"""The connections of a service's volumes and snapshots."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, cast

from cinderlib import records, validation
from cinderlib.client.remote_resource import RemoteResource
from cinderlib.objects import new_connection
from cinderlib.objects.attachable import Attachable, HostAccess
from cinderlib.records import ConnectionRecord

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection


class RemoteAttachable(RemoteResource, Attachable):
    """A volume or a snapshot of a service, which maps it for hosts.

    The service attaches it if it runs on this host, otherwise this process does.
    """

    def _whole_call(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()  # each step is one request

    def _connect(
        self, connector: Mapping[str, Any], access: HostAccess, *, to_attach: bool = False
    ) -> Connection:
        body = {
            "connector": validation.check_connector(connector),
            **access.fields,
            **new_connection.check_fields(access.fields),
        }
        if access.migrating:
            body["migrating"] = True
        if not access.decrypt:
            body["decrypt"] = False
        answer = self._change("POST", self._path("connect"), body)
        answer.pop("connection_info")
        return self._connected(answer)

    def _connected(self, answer: dict[str, Any]) -> Connection:
        record = records.from_builtins(ConnectionRecord, answer)
        connection = cast("Connection", self._service.wrap(record))
        connection.changed = self.changed
        return connection

    def _attach(self, access: HostAccess) -> Connection:
        if not self._service.is_local:
            return super()._attach(access)
        options = {
            "id": access.fields.get("id"),
            "link": access.options.link,
            "cgroup": access.options.cgroup,
            "migrating": access.migrating,
            "persist": access.persist,
            "read_only": access.fields.get("attach_mode") == "ro",
        }
        body = {name: value for name, value in options.items() if value}
        if not access.decrypt:
            body["decrypt"] = False
        return self._connected(self._change("POST", self._path("attach"), body))

    def _detach(self, force: bool, ignore_errors: bool) -> None:
        if not self._service.is_local:
            super()._detach(force, ignore_errors)
            return
        body = {"force": force, "ignore_errors": ignore_errors}
        answer = self._change("POST", self._path("detach"), body)
        self._adopt(records.from_builtins(self._kind, answer))

    def _settle_unconnected(self) -> None:
        """The service does it."""
