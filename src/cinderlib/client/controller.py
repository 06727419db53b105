"""The controller of a service: the same objects, without Cinder and without a store."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import quote

import msgspec

from cinderlib import errors
from cinderlib.client.backend import RemoteBackend
from cinderlib.client.groups import RemoteGroups
from cinderlib.client.objects import (
    RemoteConnection,
    RemoteSnapshot,
    RemoteVolume,
)
from cinderlib.client.store import RemoteStore
from cinderlib.client.transport import DEFAULT_URL, Transport
from cinderlib.client.volume_types import RemoteVolumeTypes
from cinderlib.locking.process_identity import this_host
from cinderlib.node.this_host import LocalHost
from cinderlib.objects.controller_base import ControllerBase
from cinderlib.objects.keywords import CommonVolumeKeywords
from cinderlib.objects.replicating import Replication
from cinderlib.objects.volume import Volume
from cinderlib.operations.history_query import Operation
from cinderlib.operations.journal import Recovered
from cinderlib.progress import Listener, ProgressReporter
from cinderlib.records import SnapshotRecord, VolumeRecord, from_builtins
from cinderlib.validation import check_connector
from cinderlib.value_checks import check_text

if TYPE_CHECKING:
    import os


def connect(
    url: str = DEFAULT_URL,
    *,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    ca: str | os.PathLike[str] | None = None,
    root_helper: str = "sudo",
    my_ip: str | None = None,
    state_path: str | None = None,
    progress: Listener | None = None,
) -> RemoteController:
    """The controller of a running service, to be used like a :class:`cinderlib.Controller`.

    :param url: ``unix:///path/of/socket`` for this host, ``https://host:port`` for another.
    :param certificate: file with this client's certificate, for another host.
    :param key: file with its key, if that is not in ``certificate``.
    :param ca: file with the certificate that signed the service's.
    :param root_helper: the command that runs another as root, to attach on this host.
    :param my_ip: address of this host on the storage network.
    :param state_path: folder for the records of this host's attachments.
    :param progress: gets a :class:`cinderlib.Progress` while the service copies data for this
        program.
    :raises InvalidInput: the URL or a file is wrong.
    :raises ServiceUnavailable: no service answers.
    """
    transport = Transport(url, certificate=certificate, key=key, ca=ca)
    local_host = LocalHost(root_helper, my_ip, state_path)
    controller = RemoteController(transport, local_host, ProgressReporter(progress))
    controller.refresh_backends()
    return controller


class RemoteController(RemoteVolumeTypes, RemoteGroups, ControllerBase):
    """The controller of a service; :func:`cinderlib.connect` returns it."""

    output_all_backend_info = False
    fail_on_missing_backend = True
    non_uuid_ids = True  # whether they are is checked by the service
    user_id: str | None = None
    project_id: str | None = None

    def __init__(
        self,
        transport: Transport,
        local_host: LocalHost,
        progress: ProgressReporter | None = None,
    ) -> None:
        self._transport = transport
        self._progress = ProgressReporter(None) if progress is None else progress
        self._guard = threading.Lock()
        self._backends: dict[str, RemoteBackend] = {}
        #: Path of the configuration file that the service was started with.
        self.configuration: str | None = None
        self.host = this_host()
        self.local_host = local_host
        self.store = RemoteStore(transport)
        self._create_classes(RemoteVolume, RemoteSnapshot, RemoteConnection)

    @property
    def is_local(self) -> bool:
        """Whether the service runs on this host, and so attaches volumes to it."""
        return self._transport.is_local

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._transport.url

    def _change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Have the service do something; the progress goes to the listener.

        :raises CinderlibError: the service's error.
        """
        return self._transport.change(method, path, body, report=self._progress)

    def _read(self, path: str, **query: str | None) -> Any:
        """Ask the service.

        :raises CinderlibError: the service's error.
        """
        return self._transport.get(path, **query)

    # --- backends -------------------------------------------------------------------------------

    @property
    def backends(self) -> Mapping[str, RemoteBackend]:
        """The backends of the service, by name."""
        return MappingProxyType(self._backends)

    def refresh_backends(self) -> None:
        """Ask the service again which backends it has."""
        service = self._transport.get("/v1/service")
        self.configuration, names = service["configuration"], service["backends"]
        with self._guard:
            for name in names:
                if name not in self._backends:
                    self._backends[name] = RemoteBackend._of(self, name, self._transport)
            for name in self._backends.keys() - set(names):
                del self._backends[name]

    def backend(self, volume_backend_name: str, **driver_options: object) -> RemoteBackend:
        """A backend of the service; its options are the service's.

        :raises BackendNotFound: the service has none of that name.
        :raises Unsupported: there are options.
        """
        if driver_options:
            raise errors.Unsupported(
                f"The options of backend {volume_backend_name!r} are in the configuration of the"
                " service"
            )
        return self.loaded(volume_backend_name)

    def failover(
        self, volume_backend_name: str, to: str | None = None, **driver_options: object
    ) -> Replication:
        """As :meth:`cinderlib.Controller.failover`."""
        return self.backend(volume_backend_name, **driver_options).failover(to)

    def loaded(self, name: str) -> RemoteBackend:
        """A backend of the service.

        :raises BackendNotFound: the service has none of that name.
        """
        if name not in self._backends:
            self.refresh_backends()
        if name not in self._backends:
            known = ", ".join(self._backends) or "none"
            near = difflib.get_close_matches(str(name), self._backends, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise errors.BackendNotFound(
                f"The service has no backend {name!r}; it has: {known}{hint}", resource=name
            )
        return self._backends[name]

    def name_in_storage(self, record: VolumeRecord | SnapshotRecord) -> str:
        """What a volume or snapshot is called on the array."""
        kind = "volumes" if isinstance(record, VolumeRecord) else "snapshots"
        path = f"/v1/{kind}/{quote(record.id, safe='')}/name-in-storage"
        name: str = self._transport.get(path)["name"]
        return name

    def document_options(self, backend: str) -> dict[str, Any] | None:
        """The options of a backend that go into documents: none, they are the service's."""
        return None

    def create_volume(
        self,
        size: float,
        name: str = "",
        description: str = "",
        bootable: bool = False,
        *,
        backends: Iterable[str] | None = None,
        **fields: Unpack[CommonVolumeKeywords],
    ) -> Volume:
        """As :meth:`cinderlib.Controller.create_volume`; the service loads its backends."""
        named = {"name": name, "description": description, "bootable": bootable}
        body: dict[str, Any] = {"size": size, "backends": list(backends or ()), **fields}
        body |= {field: value for field, value in named.items() if value}
        answer = self._change("POST", "/v1/volumes", body)
        changed = answer.pop("changed", None)
        volume = self.wrap(from_builtins(VolumeRecord, answer))
        volume.changed = changed
        return volume

    # --- nodes ----------------------------------------------------------------------------------

    def register_node(self, name: str, connector: Mapping[str, Any]) -> bool:
        """As :meth:`cinderlib.Controller.register_node`.

        :raises PermissionDenied: the client may not register a node under this name.
        """
        path = f"/v1/nodes/{quote(check_text(name, 'node id'), safe='')}"
        answer = self._change("PUT", path, {"connector": check_connector(connector)})
        return bool(answer["changed"])

    def node(self, name: str) -> dict[str, Any]:
        """As :meth:`cinderlib.Controller.node`."""
        path = f"/v1/nodes/{quote(check_text(name, 'node id'), safe='')}"
        connector: dict[str, Any] = self._transport.get(path)["connector"]
        return connector

    def nodes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The registered nodes: name and connector properties."""
        for each in self._transport.get("/v1/nodes"):
            yield each["name"], each["connector"]

    # --- the whole ------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The service: ``version``, ``pid``, ``started_at`` (seconds since 1970), ``configuration``
        (path), ``backends`` (names), ``states`` (``name``, ``loaded``, ``error`` and ``driver`` of
        each backend) and ``running`` (its calls)."""
        status: dict[str, Any] = self._transport.get("/v1/service")
        return status

    def reload(self) -> None:
        """Have the service read its configuration again. Running calls keep their drivers.

        :raises ConfigurationError: it is invalid; the service keeps the previous one.
        :raises PermissionDenied: the client may not administer the service.
        """
        self._change("POST", "/v1/service/reload")
        self.refresh_backends()

    def _history(self, asked: dict[str, Any]) -> list[Operation]:
        since, limit = asked["since"], asked["limit"]
        given = {
            **asked,
            "since": None if since is None else since.isoformat(),
            "limit": None if limit is None else str(limit),
            "running": None if asked["running"] else "false",
        }
        found = self._read("/v1/history", **given)
        return [msgspec.convert(each, Operation) for each in found]

    def recover(self) -> list[Recovered]:
        """Settle the operations that were interrupted."""
        return [Recovered(**each) for each in self._change("POST", "/v1/recover")]

    def close(self) -> None:
        """Close this thread's connection to the service."""
        self.store.close()

    def __repr__(self) -> str:
        return f"<cinderlib controller at {self._transport.url}>"
