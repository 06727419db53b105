"""The host that uses volumes: attach, detach, extend, and what crashes left."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from cinderlib.errors import ConnectionNotFound, NotLocal
from cinderlib.node import lifecycle, properties
from cinderlib.node.attachment import Attachment, DeviceState
from cinderlib.node.base import HostSettings
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.lifecycle import Leftover
from cinderlib.node.state import State
from cinderlib.records import KeyValueRecord

if TYPE_CHECKING:
    from cinderlib.node.checks.finding import Diagnosis


class _Persistence(Protocol):
    def set_key_value(self, key_value: Any) -> Any: ...


class _Controller(Protocol):
    @property
    def persistence(self) -> _Persistence: ...


class Node:
    """This host. Needs no controller, no store and no configuration of any backend.

    Safe to use from several threads, and from several processes with the same ``state_path``.

    :param root_helper: the command that runs another as root; unused when this process is root.
    :param my_ip: address of this host on the storage network; by default the one that its default
        route uses.
    :param multipath: ask for all paths to a volume. What a connection was made with holds for it.
    :param enforce_multipath: fail to attach if there is no multipath map, instead of using a path.
    :param host: this host's name, by default what the system says.
    :param state_path: the folder that keeps what is attached, by default
        ``/var/lib/cinderlib/node`` for root and in the user's state folder for others.
    """

    def __init__(
        self,
        *,
        root_helper: str = "sudo",
        my_ip: str | None = None,
        multipath: bool = False,
        enforce_multipath: bool = False,
        host: str | None = None,
        state_path: str | os.PathLike[str] | None = None,
    ) -> None:
        self._request = properties.Request(
            root_helper=root_helper,
            my_ip=my_ip,
            multipath=multipath,
            enforce_multipath=enforce_multipath,
            host=host,
        )
        self._settings = HostSettings(root_helper=root_helper, state=State(state_path))

    def __repr__(self) -> str:
        multipath, folder = self._request.multipath, str(self._settings.state.path)
        return f"<cinderlib.Node multipath={multipath} state_path={folder!r}>"

    @property
    def identity(self) -> str:
        """Tells this node's state folder from all others on this host, by whichever path it is
        found.

        :raises NodeError: the state folder cannot be used.
        """
        return self._settings.state.identity

    def connector_properties(self, protocol: str | None = None) -> dict[str, Any]:
        """What a controller must know of this host to map a volume for it.

        Kept for the process, and asked for again when it can have changed.

        :param protocol: only what this protocol needs (``'iscsi'``, ``'local'``, ...); by default
            everything, which takes longer and runs other programs.
        """
        return properties.gather(self._request, protocol)

    def register(self, controller: _Controller, node_id: str, protocol: str | None = None) -> None:
        """Leave this host's connector properties in a controller's store, under its id.

        :param protocol: as for :meth:`connector_properties`.
        """
        document = msgspec.json.encode(self.connector_properties(protocol)).decode()
        controller.persistence.set_key_value(KeyValueRecord(id=node_id, value=document))

    def attach(self, connection_info: Mapping[str, Any]) -> Attachment:
        """Make a device of a connection. What is attached already is given as it is.

        :param connection_info: ``{'conn': {'driver_volume_type', 'data'}, 'connector': {...}}``,
            or only what ``conn`` holds. Further fields: ``use_multipath``, ``scan_attempts``,
            ``attach_mode`` (``'rw'``, ``'ro'``), ``volume`` (``{'id', 'size'}``, bytes), ``id``.
        :raises InvalidDocument: a field is missing or of the wrong type; nothing was touched.
        :raises AlreadyExists: it is attached in another mode.
        :raises DeviceUnavailable: the device did not appear or is not the volume; it was removed.
        :raises NodeError: another step failed.
        """
        return lifecycle.attach(ConnectionDocument(connection_info), self._settings)

    def detach(
        self,
        connection_info: Mapping[str, Any] | str,
        *,
        device: Mapping[str, Any] | None = None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> bool:
        """Remove a connection's device. What is detached already stays so.

        It is done the way it was attached, whatever the present settings are.

        :param connection_info: as for :meth:`attach`, or the connection's id when it was attached
            on this host since it was started.
        :param device: what the attach gave, when neither the document nor this host knows it.
        :param force: also when the device is in use or data cannot be written out any more.
        :param ignore_errors: with ``force``, log what fails instead of raising it.
        :returns: whether there was something to detach, as far as the host or the caller knew of
            it.
        :raises InvalidDocument: a field is missing or of the wrong type; nothing was touched.
        :raises ConnectionNotFound: nothing is attached for the id that was given.
        :raises DeviceInUse: it is mounted, or another device is built on it.
        :raises LeftoverDevice: something of it is still here; the message says what.
        :raises NodeError: another step failed.
        """
        return lifecycle.detach(
            self._document(connection_info),
            self._settings,
            device=device,
            force=force,
            ignore_errors=ignore_errors,
        )

    def extend(
        self,
        connection_info: Mapping[str, Any] | str,
        *,
        device: Mapping[str, Any] | None = None,
    ) -> int:
        """Let this host see the new size of a volume that was extended.

        :param connection_info: as for :meth:`detach`.
        :returns: the size of the device in bytes.
        :raises NotLocal: it is not attached here.
        """
        document = self._document(connection_info)
        size = lifecycle.extend(document, self._settings, device=device)
        if size is None:
            raise NotLocal("The volume is not attached to this host.", resource=document.id)
        return size

    def attachments(self) -> list[Attachment]:
        """What is attached on this host and recorded, ordered by key. Each one's ``state`` says
        whether its device is there now."""
        return list(lifecycle.attachments(self._settings))

    def look(self, connection_info: Mapping[str, Any], device: Mapping[str, Any]) -> DeviceState:
        """Look at a device that was attached earlier; nothing is changed.

        :param connection_info: as for :meth:`attach`.
        :param device: what the attach gave.
        :returns: ``'ok'``, ``'gone'``, ``'another'`` or ``'unknown'``, as
            :attr:`Attachment.state` says.
        :raises InvalidDocument: a field is missing or of the wrong type.
        """
        return lifecycle.look(ConnectionDocument(connection_info), self._settings, dict(device))

    def leftovers(self) -> list[Leftover]:
        """What attaches and detaches that were interrupted left on this host."""
        return list(lifecycle.leftovers(self._settings))

    def cleanup(self, leftovers: Iterable[Leftover] | None = None) -> list[Leftover]:
        """Remove leftovers, only those that are provably ours and unused.

        :param leftovers: of :meth:`leftovers`, by default all of them.
        :returns: those that were removed.
        """
        found = self.leftovers() if leftovers is None else leftovers
        return [leftover for leftover in found if lifecycle.clean(leftover, self._settings)]

    def diagnose(
        self, protocols: Iterable[str] | None = None, *, needed: Mapping[str, str] | None = None
    ) -> Diagnosis:
        """Look what keeps this host from attaching volumes, and how to mend it.

        Nothing is changed, and os-brick need not be installed. Without root, what only root may
        look at is looked at through ``root_helper``, if it lets us.

        :param protocols: what the host is to do: ``'iscsi'``, ``'multipath'``, ``'nvme'``,
            ``'rbd'``, ``'nfs'``, ``'fc'``, ``'local'``, or as drivers name them. By default what is
            attached, what is installed, and ``'multipath'`` if this node was made so. For what is
            only installed nothing is an error.
        :param needed: without ``protocols``: what the host is to do besides, and why, in words.
        :raises InvalidInput: ``protocols`` has one that is not known.
        """
        from cinderlib.node import checks

        needed = dict(needed or {})
        if self._request.multipath:
            needed.setdefault("multipath", "this node's setting")
        return checks.diagnose(self._settings, protocols, needed)

    def _document(self, connection_info: Mapping[str, Any] | str) -> ConnectionDocument:
        if not isinstance(connection_info, str):
            return ConnectionDocument(connection_info)
        entry = self._settings.state.find(connection_info)
        if entry is None:
            raise ConnectionNotFound(
                f"Nothing is attached on this host for the connection {connection_info}.",
                resource=connection_info,
            )
        return ConnectionDocument(entry.document)
