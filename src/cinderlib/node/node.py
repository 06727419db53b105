"""The node: a host that attaches, detaches and extends volumes, and cleans up after crashes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from cinderlib.errors import ConnectionNotFound, InvalidInput, NotLocal
from cinderlib.node import device_options, interrupted, lifecycle, properties
from cinderlib.node.attachment import Attachment, DeviceState
from cinderlib.node.base import HostSettings
from cinderlib.node.boot import PersistentAttachments
from cinderlib.node.document import ConnectionDocument, check_device
from cinderlib.node.interrupted import Leftover
from cinderlib.node.state import State
from cinderlib.value_checks import (
    check_flag,
    check_items,
    check_mapping,
    check_text,
    check_texts,
    shown,
)

if TYPE_CHECKING:
    from cinderlib.node.checks.finding import Diagnosis


class _Controller(Protocol):
    def register_node(self, name: str, connector: Mapping[str, Any]) -> bool: ...


class Node:
    """This host. It needs no controller, no store and no configuration of backends.

    It is safe to use from several threads, and from several processes with the same ``state_path``.

    :param root_helper: the command that runs other commands as root; not used if this process is
        root.
    :param my_ip: address of this host on the storage network; by default the address of the default
        route.
    :param multipath: request all paths to a volume. An existing connection keeps its own setting.
    :param enforce_multipath: fail to attach without a multipath map, instead of using a path.
    :param host: this host's name, by default the system's host name.
    :param state_path: the folder for the state of attachments, by default
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
        #: The attachments that this host has again after each boot.
        self.persistent = PersistentAttachments(self._settings)

    def __repr__(self) -> str:
        multipath, folder = self._request.multipath, str(self._settings.state.path)
        return f"<cinderlib.Node multipath={multipath} state_path={folder!r}>"

    @property
    def identity(self) -> str:
        """Identifies this node's state folder among all others on this host, independent of the
        path to it.

        :raises NodeError: the state folder cannot be used.
        """
        return self._settings.state.identity

    def connector_properties(self, protocol: str | None = None) -> dict[str, Any]:
        """The properties of this host that a controller needs to map a volume to it.

        They are cached in the process, and queried again if they may have changed.

        :param protocol: only the properties for this protocol (``'iscsi'``, ``'local'``, ...); by
            default all properties, which takes longer and runs other programs.
        """
        return properties.gather(self._request, protocol)

    def register(self, controller: _Controller, node_id: str, protocol: str | None = None) -> None:
        """Save this host's connector properties in a controller's store, with its ID as the key.

        :param protocol: as for :meth:`connector_properties`.
        """
        check_text(node_id, "node id")
        if not hasattr(controller, "register_node"):
            raise InvalidInput(
                f"The controller must be a cinderlib Controller, not {shown(controller)}."
            )
        controller.register_node(node_id, self.connector_properties(protocol))

    def attach(
        self,
        connection_info: Mapping[str, Any],
        *,
        link: str | None = None,
        cgroup: str | None = None,
    ) -> Attachment:
        """Attach a connection. If it is already attached, the existing attachment is returned.

        :param connection_info: ``{'conn': {'driver_volume_type', 'data'}, 'connector': {...}}``,
            or only the value of ``conn``. Further fields: ``use_multipath``, ``scan_attempts``,
            ``attach_mode`` (``'rw'``, ``'ro'``), ``volume`` (``{'id', 'size'}``, bytes), ``id``.
        :param link: a path for a symbolic link to the device, for programs that need a stable path.
            The detach removes it. It replaces an earlier link of the same attachment.
        :param cgroup: the folder of a control group (cgroup v2). The QoS specs that the host
            enforces limit its programs' requests to the device (``io.max``): bytes and operations
            a second, of reads and of writes. The detach removes the limits. It replaces an earlier
            control group of the same attachment.
        :raises InvalidDocument: a field is missing or has the wrong type. Nothing changed.
        :raises InvalidInput, Unsupported: the control group does not exist, or cannot limit
            devices. Nothing changed.
        :raises AlreadyExists: it is attached in another mode.
        :raises DeviceUnavailable: the device did not appear or is not the volume's; it was removed.
        :raises NodeError: another step failed.
        """
        options = device_options.check(link, cgroup)
        return lifecycle.attach(ConnectionDocument(connection_info), self._settings, options)

    def attached(
        self,
        connection_info: Mapping[str, Any],
        *,
        link: str | None = None,
        cgroup: str | None = None,
    ) -> Attachment | None:
        """The existing attachment of a connection, or ``None`` if its device is not the volume any
        more. This attaches no device.

        :param connection_info: as for :meth:`attach`.
        :param link: as for :meth:`attach`.
        :param cgroup: as for :meth:`attach`.
        :raises AlreadyExists: it is attached in another mode.
        """
        options = device_options.check(link, cgroup)
        return lifecycle.attached(ConnectionDocument(connection_info), self._settings, options)

    def detach(
        self,
        connection_info: Mapping[str, Any] | str,
        *,
        device: Mapping[str, Any] | None = None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> bool:
        """Remove a connection's device. If it is already detached, nothing changes.

        The settings of the attach are used, independent of the current settings.

        :param connection_info: as for :meth:`attach`, or the ID of a connection that was attached
            on this host since its last boot.
        :param device: the result of the attach, if neither the document nor this host has it.
        :param force: detach even if the device is in use or unwritten data is lost.
        :param ignore_errors: with ``force``, log errors instead of raising them.
        :returns: whether there was an attachment, according to this host or the arguments.
        :raises InvalidDocument: a field is missing or has the wrong type. Nothing changed.
        :raises ConnectionNotFound: no connection with that ID is attached.
        :raises DeviceInUse: it is mounted, or another device is built on it.
        :raises LeftoverDevice: devices or files remain on this host; the message lists them.
        :raises NodeError: another step failed.
        """
        return lifecycle.detach(
            self._document(connection_info),
            self._settings,
            device=None if device is None else check_device(device),
            force=check_flag(force, "force"),
            ignore_errors=check_flag(ignore_errors, "ignore_errors"),
        )

    def extend(
        self,
        connection_info: Mapping[str, Any] | str,
        *,
        device: Mapping[str, Any] | None = None,
    ) -> int:
        """Update the device on this host after the volume was extended.

        :param connection_info: as for :meth:`detach`.
        :returns: the size of the device in bytes.
        :raises NotLocal: it is not attached here.
        """
        document = self._document(connection_info)
        size = lifecycle.extend(
            document, self._settings, device=None if device is None else check_device(device)
        )
        if size is None:
            raise NotLocal("The volume is not attached to this host.", resource=document.id)
        return size

    def attachments(self) -> list[Attachment]:
        """The recorded attachments of this host, ordered by key. Each ``state`` shows whether the
        device exists now."""
        return list(lifecycle.attachments(self._settings))

    def attachment(self, connection_info: Mapping[str, Any] | str) -> Attachment | None:
        """The recorded attachment of one connection, with the current ``state`` of the device.

        :param connection_info: as for :meth:`detach`. A document is found faster than an ID.
        :returns: ``None`` if it is not attached.
        :raises InvalidDocument: a field is missing or has the wrong type.
        """
        try:
            document = self._document(connection_info)
        except ConnectionNotFound:
            return None
        return lifecycle.current(document, self._settings)

    def look(self, connection_info: Mapping[str, Any], device: Mapping[str, Any]) -> DeviceState:
        """Check a device that was attached earlier, without changing it.

        :param connection_info: as for :meth:`attach`.
        :param device: the result of the attach.
        :returns: ``'ok'``, ``'gone'``, ``'another'`` or ``'unknown'``; see
            :attr:`Attachment.state`.
        :raises InvalidDocument: a field is missing or has the wrong type.
        """
        document = ConnectionDocument(connection_info)
        return lifecycle.look(document, self._settings, check_device(device))

    def leftovers(self) -> list[Leftover]:
        """Remainders of interrupted attaches and detaches on this host."""
        return list(interrupted.leftovers(self._settings))

    def cleanup(self, leftovers: Iterable[Leftover] | None = None) -> list[Leftover]:
        """Remove leftovers that certainly belong to this node and are unused.

        :param leftovers: from :meth:`leftovers`, by default all of them.
        :returns: the removed leftovers.
        """
        found = (
            self.leftovers()
            if leftovers is None
            else list(check_items(leftovers, Leftover, "leftovers"))
        )
        return [leftover for leftover in found if interrupted.clean(leftover, self._settings)]

    def diagnose(
        self, protocols: Iterable[str] | None = None, *, needed: Mapping[str, str] | None = None
    ) -> Diagnosis:
        """Find problems that keep this host from attaching volumes, and how to repair them.

        This changes nothing and does not need os-brick. Without root, checks that need root run
        through ``root_helper``, if it allows that.

        :param protocols: the features to check: ``'iscsi'``, ``'multipath'``, ``'encryption'``,
            ``'nvme'``, ``'rbd'``, ``'nfs'``, ``'fc'``, ``'local'``, or the drivers' names for them.
            By default protocols that are attached or installed, and ``'multipath'`` if this node
            uses it. Problems with protocols that are only installed are never errors.
        :param needed: without ``protocols``: additional features to check, and the reasons as
            texts.
        :raises InvalidInput: ``protocols`` contains an unknown name.
        """
        from cinderlib.node import checks

        needed = check_mapping({} if needed is None else needed, "needed")
        if protocols is not None:
            protocols = check_texts(protocols, "protocols")
        if self._request.multipath:
            needed.setdefault("multipath", "this node's setting")
        return checks.diagnose(self._settings, protocols, needed)

    def _document(self, connection_info: Mapping[str, Any] | str) -> ConnectionDocument:
        if not isinstance(connection_info, str):
            return ConnectionDocument(connection_info)
        state = self._settings.state
        # A persistent attachment that did not return after the boot has no entry.
        entry = state.find(connection_info) or state.persistent.find(connection_info)
        if entry is None:
            raise ConnectionNotFound(
                f"No volume is attached on this host for the connection {shown(connection_info)}.",
                resource=connection_info,
            )
        return ConnectionDocument(entry.document)
