"""The service of a host that only attaches: requests go to a service on another host, and this host
attaches the volumes.

Programs of the host, such as the storage type for Proxmox VE, use it like a service with drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinderlib import errors
from cinderlib.service import links as link_paths
from cinderlib.service.capacity import Capacities

if TYPE_CHECKING:
    from cinderlib.client.backend import RemoteBackend
    from cinderlib.client.controller import RemoteController
    from cinderlib.objects.replicating import Replication


class UpstreamBackends:
    """The backends of a service on another host, in the place of
    :class:`cinderlib.service.backends.Backends`.

    :param controller: the controller of that service, which may be out of reach for now.
    :param folder: in which clients may have links to attached devices.
    :ivar capacities: the capacities that the other service reported last.
    """

    def __init__(self, controller: RemoteController, folder: Path) -> None:
        self.controller = controller
        self.capacities = Capacities(lambda name: _Reported(self.loaded(name)))
        self._links = folder

    @property
    def names(self) -> list[str]:
        """The names that are known from the other service."""
        return list(self.controller.backends)

    def check_name(self, name: str) -> None:
        """:raises BackendNotFound: the other service has no such backend."""
        if name not in self.controller.backends:
            self.controller.refresh_backends()
        if name not in self.controller.backends:
            known = ", ".join(self.names) or "none"
            raise errors.BackendNotFound(
                f"Backend {name!r} is not configured in the service at {self.controller.url};"
                f" configured: {known}",
                resource=name,
            )

    def check_link(self, path: str) -> str:
        """:raises InvalidInput: a client must not have a link with that path."""
        return link_paths.check(path, self._links)

    def loaded(self, name: str) -> RemoteBackend:
        """A backend. The other service loads its driver.

        :raises BackendNotFound: the other service has no such backend.
        :raises ServiceUnavailable: the other service cannot be reached.
        """
        self.check_name(name)
        return self.controller.loaded(name)

    def failed_over(self, name: str, to: str | None) -> Replication:
        """Let the other service fail over a backend."""
        return self.loaded(name).failover(to)

    def load_all(self) -> None:
        """Nothing: the first request reads the names from the other service."""

    def replace(
        self,
        names: list[str],
        options: Callable[[str], Mapping[str, Any]],
        *,
        settled: Callable[[], None],
    ) -> None:
        """Ask the other service again which backends it has.

        :raises ConfigurationError: the configuration now has backends.
        """
        if names:
            raise errors.ConfigurationError(_BOTH)
        self.controller.refresh_backends()

    def states(self) -> list[dict[str, Any]]:
        """Of each backend: ``name``, ``loaded``, ``error``, ``driver``, as the other service
        reports it. Empty while that service cannot be reached."""
        try:
            found: list[dict[str, Any]] = self.controller.status()["states"]
        except errors.ServiceUnavailable:
            return []
        return found


def backends(service: Mapping[str, Any], host: Mapping[str, Any], folder: Path) -> UpstreamBackends:
    """The backends of a service on another host.

    :param service: the arguments of :class:`cinderlib.client.transport.Transport`.
    :param host: the arguments of :class:`cinderlib.node.this_host.LocalHost`.
    :param folder: in which clients may have links to attached devices.
    """
    from cinderlib.client.controller import RemoteController
    from cinderlib.client.transport import Transport
    from cinderlib.node.this_host import LocalHost

    controller = RemoteController(Transport(**service), LocalHost(**host))
    return UpstreamBackends(controller, folder)


class _Reported:
    """The driver's statistics of a backend, as the other service has them."""

    def __init__(self, backend: RemoteBackend) -> None:
        self._backend = backend

    def driver_stats(self, *, refresh: bool) -> dict[str, Any]:
        """:raises DriverError: the storage has not reported its capacity for too long."""
        # This request has that service refresh old statistics. It does not wait for the storage.
        known = self._backend.capacity()
        if known["stale"]:
            raise errors.DriverError(
                known["error"] or f"it is {known['age']} s old, because the storage does not answer"
            )
        return self._backend.stats()


_BOTH = (
    "The configuration has a service on another host, [node] service, and backends of this host."
    " Remove one of them"
)


def check(backends: list[str], store: Mapping[str, Any]) -> None:
    """:raises ConfigurationError: a configuration with ``[node] service`` also has backends or a
    store."""
    if backends or store:
        raise errors.ConfigurationError(_BOTH)
