"""The verbs of a service's snapshots that connect and attach them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from cinderlib import errors, records, validation
from cinderlib.locking.process_identity import this_host
from cinderlib.objects.snapshot_access import AttachableSnapshot
from cinderlib.records import ConnectionRecord

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection


class RemoteAttachableSnapshot(AttachableSnapshot):
    """The part of a snapshot of a service for its connections."""

    if TYPE_CHECKING:

        @property
        def _service(self) -> Any: ...

        def _path(self, verb: str = "") -> str: ...

        def _change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any: ...

    def connect(self, connector_dict: Mapping[str, Any], **fields: Any) -> Connection:
        body = {"connector": validation.check_connector(connector_dict), **fields}
        answer = self._change("POST", self._path("connect"), body)
        answer.pop("connection_info")
        return self._connected(answer)

    def _connected(self, answer: dict[str, Any]) -> Connection:
        record = records.from_builtins(ConnectionRecord, answer)
        connection = cast("Connection", self._service.wrap(record))
        connection.changed = self.changed
        return connection

    def attach(self, *, link: str | None = None) -> Connection:
        """Connect it to this host and attach it: by the service if it runs on this host, otherwise
        by this process."""
        if self._service.is_local:
            body = {} if link is None else {"link": link}
            return self._connected(self._change("POST", self._path("attach"), body))
        connector = self._service.local_connector(self.backend)
        connection = self.connect(connector, attached_host=this_host())
        made = connection.changed
        try:
            connection.attach(link=link)
        except BaseException:
            if made:
                connection.disconnect()
            raise
        self.changed = connection.changed
        return connection

    def detach(self, force: bool = False, ignore_errors: bool = False) -> None:
        if self._service.is_local:
            body = {"force": force, "ignore_errors": ignore_errors}
            self._change("POST", self._path("detach"), body)
            return
        connection = self._here()
        if connection is None:
            self.changed = False
            return
        failed: errors.NodeError | None = None
        with self._named():
            try:
                connection.detach(force, ignore_errors)
            except errors.NodeError as exc:
                if not force:
                    raise
                failed = exc
            connection.disconnect(force)
            self.changed = True
            if failed is not None and not ignore_errors:
                raise failed
