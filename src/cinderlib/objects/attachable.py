"""The common part of volumes and snapshots for their connections to hosts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from cinderlib import errors, value_checks
from cinderlib.locking.process_identity import this_host
from cinderlib.node import device_options
from cinderlib.objects.resource import Resource
from cinderlib.persistence.host_key import host_of
from cinderlib.records import AttachOptions

if TYPE_CHECKING:
    from cinderlib.objects.connection import Connection


_NO_OPTIONS = AttachOptions()


@dataclasses.dataclass(frozen=True)
class HostAccess:
    """The checked arguments of a connect or an attach.

    :ivar fields: of the new connection.
    :ivar migrating: whether the volume may stay connected to the host from which it migrates.
    :ivar decrypt: whether the host decrypts an encrypted volume.
    :ivar options: for the device.
    :ivar persist: whether it is attached again after each boot.
    """

    fields: Mapping[str, Any]
    migrating: bool = False
    decrypt: bool = True
    options: AttachOptions = _NO_OPTIONS
    persist: bool = False

    def by(self, host: str) -> HostAccess:
        """The same with the host that attaches it."""
        return dataclasses.replace(self, fields={"attached_host": host, **self.fields})


class Attachable(Resource):
    """Connects its resource to hosts, and attaches it to this host."""

    @property
    def connections(self) -> list[Connection]:
        """Its connections, as the store has them now."""
        raise NotImplementedError

    def _connections_here(self) -> list[Connection]:
        """Its connections with this host as ``attached_host``."""
        return [each for each in self.connections if each.attached_host == this_host()]

    @property
    def local_attach(self) -> Connection | None:
        """The connection through which any process attached it to this host."""
        return next((each for each in self._connections_here() if each.attached), None)

    def _connect(
        self, connector: Mapping[str, Any], access: HostAccess, *, to_attach: bool = False
    ) -> Connection:
        """Map it for a host.

        :param to_attach: whether this call attaches it next.
        """
        raise NotImplementedError

    def _disconnect(self, connection: Connection, force: bool, *, detached: bool = False) -> None:
        """Unmap it from the host of a connection.

        :param detached: whether the same call has just detached it.
        """
        connection._disconnect(force, detached=detached)
        self.changed = connection.changed

    def _whole_call(self) -> AbstractContextManager[None]:
        """Contains the steps of an attach or a detach; see ``Journal.whole_call``."""
        return self._controller.journal.whole_call()

    def _attach(self, access: HostAccess) -> Connection:
        """Connect it to this host and attach it."""
        controller = self._controller
        device_options.refuse_unusable(access.options)
        with self._named(), self._whole_call():
            connector = controller.local_connector(controller.loaded(self._record.backend))
            connection = self._connect(connector, access.by(this_host()), to_attach=True)
            is_new = bool(connection.changed)
            try:
                connection._attach(access.options)
            except BaseException as exc:
                if is_new:
                    self._undo_connect(connection, exc)
                raise
        if access.persist:
            self._persist(connection, undo=is_new)
        self.changed = connection.changed
        return connection

    def _undo_connect(self, connection: Connection, cause: BaseException) -> None:
        try:
            self._disconnect(connection, False)
        except errors.CinderlibError as exc:
            cause.add_note(f"Disconnecting it again also failed: {exc}")

    def _persist(self, connection: Connection, *, undo: bool) -> None:
        try:
            self._controller.local_host.persist(connection.record)
        except errors.CinderlibError as exc:
            if undo:
                try:
                    self.detach()
                except errors.CinderlibError as other:
                    exc.add_note(f"Detaching it again also failed: {other}")
            raise

    def detach(self, force: bool = False, ignore_errors: bool = False) -> None:
        """Remove its device from this host and disconnect it from this host.

        If it is not connected to this host, nothing changes.

        :param force: continue with the next step if a step fails, and raise the error at the end.
        :param ignore_errors: with ``force``, do not raise errors.
        :raises NotLocal: it is connected only to other hosts.
        """
        flag = value_checks.check_flag
        self._detach(flag(force, "force"), flag(ignore_errors, "ignore_errors"))

    def _detach(self, force: bool, ignore_errors: bool) -> None:
        connection = self._here()
        if connection is None:
            self._refuse_elsewhere()
            self._settle_unconnected()
            self.changed = False
            return
        failed: errors.NodeError | None = None
        with self._named(), self._whole_call():
            try:
                connection._detach(force, ignore_errors, to_disconnect=True)
            except errors.NodeError as exc:
                if not force:
                    raise
                failed = exc
            self._disconnect(connection, force, detached=failed is None)
            if failed is not None and not ignore_errors:
                raise failed

    def _here(self) -> Connection | None:
        """The connection of :attr:`local_attach`, or another connection of this host whose device
        was removed or never attached."""
        found = self._connections_here()
        return next((each for each in found if each.attached), found[0] if found else None)

    def _refuse_elsewhere(self) -> None:
        others = self.connections
        if others:
            hosts = ", ".join(sorted({host_of(each._record) for each in others}))
            raise errors.NotLocal(
                f"{self._name()} {self.id} is not attached to this host; it is connected to"
                f" {hosts}",
                resource=self,
            )

    def _settle_unconnected(self) -> None:
        """Complete interrupted operations of a resource without connections."""

    @contextlib.contextmanager
    def attached(self) -> Iterator[Connection]:
        """``with resource.attached() as attach:`` attaches it, and detaches it at the end."""
        connection = self.attach()
        try:
            yield connection
        finally:
            self.detach()

    def attach(self, *, link: str | None = None, cgroup: str | None = None) -> Connection:
        """Connect it to this host and attach it."""
        raise NotImplementedError
