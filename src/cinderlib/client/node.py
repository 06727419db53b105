"""This host as a node of a service, without a store, configured backends and Cinder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from cinderlib import errors
from cinderlib.client.transport import DEFAULT_URL, Transport
from cinderlib.node import Attachment, Node
from cinderlib.value_checks import check_flag, check_instance, check_text

if TYPE_CHECKING:
    import os


class NodeClient:
    """This host as a node of a service.

    Each call can be repeated: after an interruption at any point, the same call completes it. The
    role ``node`` is sufficient.

    :param url: ``https://HOST:PORT``, or ``unix:///PATH`` for a service on this host.
    :param certificate: file with this host's certificate. Its common name is the host's name.
    :param key: file with its key, if that is not in ``certificate``.
    :param ca: file with the certificate that signed the service's.
    :param node: the settings of this host, by default ``Node()``.
    :raises InvalidInput: the URL or a file is wrong.

    ::

        with cinderlib.NodeClient('https://192.0.2.10:8775', certificate='node1.pem',
                                  ca='ca.pem') as client:
            attachment = client.attach('data')
            print(attachment.path)
            client.detach(attachment.connection_info)
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        ca: str | os.PathLike[str] | None = None,
        node: Node | None = None,
    ) -> None:
        self._transport = Transport(url, certificate=certificate, key=key, ca=ca)
        #: This host.
        self.node = Node() if node is None else check_instance(node, Node, "node")

    def __repr__(self) -> str:
        return f"<cinderlib.NodeClient {self._transport.url}>"

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this thread's connection to the service."""
        self._transport.close()

    @property
    def _host(self) -> str:
        return str(self.node.connector_properties("local")["host"])

    def register(self, name: str, protocol: str | None = None) -> bool:
        """Save this host's connector properties in the service's store.

        :param name: the key; with the role ``node``, the name of this host.
        :param protocol: only the properties for this protocol, by default all.
        :returns: whether the service had other properties, or none.
        """
        check_text(name, "name")
        connector = self.node.connector_properties(protocol)
        answer = self._transport.change(
            "PUT", f"/v1/nodes/{_quoted(name)}", {"connector": connector}
        )
        return bool(answer["changed"])

    def attach(
        self,
        volume: str,
        *,
        attach_mode: Literal["rw", "ro"] | None = None,
        protocol: str | None = None,
        migrating: bool = False,
        cgroup: str | None = None,
    ) -> Attachment:
        """Connect a volume for this host, attach it, and report its device to the service.

        If the volume cannot be attached, a connection that this call made is removed.

        :param volume: its ID, or the name of exactly one volume.
        :param attach_mode: by default ``'rw'``.
        :param protocol: the volume's protocol, if known (``'iscsi'``, ...); collecting the
            connector properties is then faster.
        :param migrating: allow a connection in addition to another host's, for a live migration.
        :param cgroup: as for :meth:`cinderlib.Node.attach`.
        :raises VolumeNotFound: the service has no such volume.
        :raises PermissionDenied: the client may not connect volumes for this host.
        :raises ServiceUnavailable: the service cannot be reached.
        :raises NodeError: it cannot be attached here; see :meth:`cinderlib.Node.attach`.
        """
        check_text(volume, "volume")
        connector = self.node.connector_properties(protocol)
        body = {
            "connector": connector,
            "attached_host": connector["host"],
            "migrating": check_flag(migrating, "migrating"),
        }
        if attach_mode is not None:
            body["attach_mode"] = attach_mode
        connection = self._transport.change("POST", f"/v1/volumes/{_quoted(volume)}/connect", body)
        document, id = connection["connection_info"], connection["id"]
        # A device of an earlier attach: whether it still exists is checked below.
        document.pop("device", None)
        try:
            attachment = self.node.attach(document, cgroup=cgroup)
        except BaseException as error:
            # A device that is left still needs its connection.
            if connection["changed"] and not isinstance(error, errors.LeftoverDevice):
                try:
                    self._disconnect(id)
                except errors.CinderlibError as other:
                    error.add_note(f"It is still connected in the service: {other}")
            raise
        self._report(id, attachment.device)
        return attachment

    def detach(
        self,
        volume: str | Mapping[str, Any],
        *,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> bool:
        """Detach a volume from this host, and disconnect it in the service.

        :param volume: its ID, the connection's ID, or the ``connection_info`` of an
            attachment.
        :param force: detach even if the device is in use or unwritten data is lost.
        :param ignore_errors: with ``force``, log errors of this host instead of raising them.
        :returns: whether it was attached here or connected for this host.
        :raises InvalidInput: the document has no connection ID. Nothing changed;
            :meth:`cinderlib.Node.detach` detaches it from this host.
        :raises DeviceInUse: it is mounted, or another device is built on it.
        :raises NodeError: another step on this host failed; the volume is still connected.
        """
        here = [volume] if isinstance(volume, Mapping) else self._attached(volume)
        if isinstance(volume, Mapping) and not volume.get("id"):
            raise errors.InvalidInput(
                "The document has no connection ID, so the service cannot"
                " disconnect it. Specify the ID of the connection, or of the volume"
            )
        ids = {str(document["id"]) for document in here if document.get("id")}
        if isinstance(volume, str):
            # An attach that was interrupted has a connection, but no device.
            ids |= {
                str(connection["id"])
                for connection in self.connections()
                if volume in (connection["id"], connection["volume_id"])
            }
        for document in here:
            self.node.detach(document, force=force, ignore_errors=ignore_errors)
        for id in sorted(ids):
            self._report(id, None)
            self._disconnect(id, force)
        return bool(here or ids)

    def connections(self, volume: str | None = None) -> Iterator[dict[str, Any]]:
        """The connections for this host, without keys, in the order of creation.

        :param volume: only those of the volume with this ID.
        """
        host = self._host
        yield from self._transport.get("/v1/connections", attached_host=host, volume_id=volume)

    def _attached(self, volume: str) -> list[Mapping[str, Any]]:
        check_text(volume, "volume")
        documents = [each.connection_info for each in self.node.attachments()]
        return [d for d in documents if volume in (d.get("id"), d.get("volume", {}).get("id"))]

    def _report(self, id: str, device: dict[str, Any] | None) -> None:
        try:
            self._transport.change(
                "PUT", f"/v1/connections/{_quoted(id)}/device", {"device": device}
            )
        except errors.ConnectionNotFound:
            if device is not None:
                raise

    def _disconnect(self, id: str, force: bool = False) -> None:
        path = f"/v1/connections/{_quoted(id)}/disconnect"
        self._transport.change("POST", path, {"force": force})


def _quoted(name: str) -> str:
    return quote(name, safe="")
