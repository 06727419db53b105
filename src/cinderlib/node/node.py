"""The host that uses volumes: attach, detach, extend, and what crashes left."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from cinderlib.errors import (
    AlreadyExists,
    Busy,
    CinderlibError,
    ConnectionNotFound,
    DeviceInUse,
    DeviceUnavailable,
    LeftoverDevice,
    NotLocal,
)
from cinderlib.node import properties, protocols
from cinderlib.node.attachment import Attachment
from cinderlib.node.base import Connector, HostSettings
from cinderlib.node.document import ConnectionDocument
from cinderlib.node.state import Entry, State
from cinderlib.records import KeyValueRecord

LOG = logging.getLogger(__name__)


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an interrupted attach or detach left on this host.

    :ivar key: of the attachment, see :attr:`cinderlib.node.base.Connector.key`.
    :ivar connection_id: of the controller's connection, when it was known.
    :ivar operation: what was interrupted, ``'attaching'`` or ``'detaching'``.
    :ivar device: its path, when there is one.
    :ivar users: what uses it, in words; it is not removed while there are any.
    """

    key: str
    connection_id: str | None
    operation: str
    device: str | None
    users: tuple[str, ...] = ()


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
    :param enforce_multipath: fail rather than use one path when multipathd does not run.
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
        self._state = State(state_path)
        self._settings = HostSettings(root_helper=root_helper, state=self._state)

    def connector_properties(self, protocol: str | None = None) -> dict[str, Any]:
        """What a controller must know of this host to map a volume for it.

        Kept for the process, and asked for again when it can have changed.

        :param protocol: only what this protocol needs (``'iscsi'``, ``'local'``, ...); by default
            everything, which takes longer and runs other programs.
        """
        return properties.gather(self._request, protocol)

    def register(self, controller: _Controller, node_id: str) -> None:
        """Leave this host's connector properties in a controller's store, under its id."""
        document = msgspec.json.encode(self.connector_properties()).decode()
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
        document = ConnectionDocument(connection_info)
        connector = protocols.connector(document, self._settings)
        with self._state.locked(connector.key):
            entry = self._state.get(connector.key)
            if entry and (attached := self._still_attached(document, connector, entry)):
                return attached
            return self._attach(document, connector, entry)

    def detach(
        self,
        connection_info: Mapping[str, Any] | str,
        *,
        device: Mapping[str, Any] | None = None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Remove a connection's device. What is detached already stays so.

        It is done the way it was attached, whatever the present settings are.

        :param connection_info: as for :meth:`attach`, or the connection's id when it was attached
            on this host since it was started.
        :param device: what the attach gave, when neither the document nor this host knows it.
        :param force: also when the device is in use or data cannot be written out any more.
        :param ignore_errors: with ``force``, log what fails instead of raising it.
        :raises InvalidDocument: a field is missing or of the wrong type; nothing was touched.
        :raises ConnectionNotFound: nothing is attached for the id that was given.
        :raises DeviceInUse: it is mounted, or another device is built on it.
        :raises LeftoverDevice: something of it is still here; the message says what.
        :raises NodeError: another step failed.
        """
        document = self._document(connection_info)
        connector = protocols.connector(document, self._settings)
        with self._state.locked(connector.key):
            entry = self._state.get(connector.key)
            if entry:
                connector = self._as_attached(entry)
            known = (entry and entry.device) or device or document.device
            known = dict(known) if known else None
            try:
                self._detach(connector, known, entry, force=force)
            except CinderlibError:
                if not (force and ignore_errors):
                    raise
                LOG.warning("Detaching %s left errors behind", connector, exc_info=True)

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
        connector = protocols.connector(document, self._settings)
        with self._state.locked(connector.key):
            entry = self._state.get(connector.key)
            if entry:
                connector = self._as_attached(entry)
            known = (entry and entry.device) or device or document.device
            if not known:
                raise NotLocal("The volume is not attached to this host.", resource=document.id)
            return connector.extend(dict(known))

    def attachments(self) -> list[Attachment]:
        """What is attached on this host and recorded, oldest key first."""
        return [
            _attachment(ConnectionDocument(entry.document), entry.device)
            for entry in self._state.entries()
            if entry.status == "attached" and entry.device
        ]

    def leftovers(self) -> list[Leftover]:
        """What attaches and detaches that were interrupted left on this host."""
        found = []
        for entry in self._state.entries():
            if entry.status == "attached":
                continue
            with contextlib.suppress(Busy), self._state.locked(entry.key, wait=False):
                if entry != self._state.get(entry.key):
                    continue
                connector = self._as_attached(entry)
                device = connector.find_interrupted(entry)
                found.append(
                    Leftover(
                        key=entry.key,
                        connection_id=entry.document.get("id"),
                        operation=entry.status,
                        device=device["path"] if device else None,
                        users=tuple(connector.users(device)) if device else (),
                    )
                )
        return found

    def cleanup(self, leftovers: Iterable[Leftover] | None = None) -> list[Leftover]:
        """Remove leftovers, only those that are provably ours and unused.

        :param leftovers: of :meth:`leftovers`, by default all of them.
        :returns: those that were removed.
        """
        removed = []
        for leftover in self.leftovers() if leftovers is None else leftovers:
            with contextlib.suppress(Busy), self._state.locked(leftover.key, wait=False):
                entry = self._state.get(leftover.key)
                if entry is None or entry.status == "attached":
                    continue
                connector = self._as_attached(entry)
                try:
                    self._detach(connector, connector.find_interrupted(entry), entry)
                except CinderlibError as exc:
                    LOG.warning("A leftover stays: %s", exc)
                else:
                    removed.append(leftover)
        return removed

    def _document(self, connection_info: Mapping[str, Any] | str) -> ConnectionDocument:
        if not isinstance(connection_info, str):
            return ConnectionDocument(connection_info)
        entry = self._state.find(connection_info)
        if entry is None:
            raise ConnectionNotFound(
                f"Nothing is attached on this host for the connection {connection_info}.",
                resource=connection_info,
            )
        return ConnectionDocument(entry.document)

    def _as_attached(self, entry: Entry) -> Connector:
        return protocols.connector(ConnectionDocument(entry.document), self._settings)

    def _still_attached(
        self, document: ConnectionDocument, connector: Connector, entry: Entry
    ) -> Attachment | None:
        if entry.status != "attached" or not entry.device:
            return None
        made = self._as_attached(entry)
        try:
            made.verify(entry.device)
        except CinderlibError as exc:
            LOG.warning("What was attached is not there any more (%s); attaching it anew", exc)
            return None
        if made.document.mode != document.mode:
            raise AlreadyExists(
                f"The volume is attached {made.document.mode!r} already; detach it before it is "
                f"attached {document.mode!r}.",
                resource=document.id,
                differences={"attach_mode": (made.document.mode, document.mode)},
            )
        return _attachment(made.document, entry.device)

    def _attach(
        self, document: ConnectionDocument, connector: Connector, earlier: Entry | None
    ) -> Attachment:
        # What an interrupted attach of ours made is to be used, so what was there before it counts.
        before = earlier.before if earlier else connector.survey()
        entry = Entry(
            key=connector.key,
            document=document.with_device(None),
            before=before,
        )
        self._state.put(entry)
        device: dict[str, Any] | None = None
        try:
            device = connector.attach(before)
            connector.verify(device)
        except BaseException:
            with contextlib.suppress(CinderlibError):
                self._detach(connector, device or connector.find_interrupted(entry), entry)
            raise
        if connector.outlives_process(device):
            traces = connector.traces(device)
            self._state.put(
                msgspec.structs.replace(entry, status="attached", device=device, traces=traces)
            )
        else:
            self._state.remove(entry.key)
        return _attachment(document, device)

    def _detach(
        self,
        connector: Connector,
        device: dict[str, Any] | None,
        entry: Entry | None,
        *,
        force: bool = False,
    ) -> None:
        if device and not force and (users := connector.users(device)):
            raise DeviceInUse(
                f"{device['path']} is used by {', '.join(users)}.", resource=connector.document.id
            )
        if entry:
            if not entry.traces and device:
                entry = msgspec.structs.replace(entry, traces=connector.traces(device))
            entry = msgspec.structs.replace(entry, status="detaching", device=device)
            self._state.put(entry)
        connector.detach(device, entry, force=force)
        if entry:
            if remains := connector.remains(entry):
                raise LeftoverDevice(
                    f"The volume was detached, but this is still here: {', '.join(remains)}.",
                    resource=connector.document.id,
                )
            self._state.remove(entry.key)


def _attachment(document: ConnectionDocument, device: dict[str, Any]) -> Attachment:
    path = device.get("path")
    if not path:
        raise DeviceUnavailable("The attach gave no device.", resource=document.id)
    return Attachment(
        path=path,
        device=device,
        connection_info=document.with_device(device),
        multipath_id=device.get("multipath_id"),
        scsi_wwn=device.get("scsi_wwn"),
    )
