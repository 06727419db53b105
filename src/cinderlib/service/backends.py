"""The backends of a service, their capacities, and the links that clients may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cinderlib.objects.configured_backends import ConfiguredBackends
from cinderlib.service import links as link_paths
from cinderlib.service.capacity import Capacities

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.replicating import Replication


class Source(Protocol):
    """The backends of a service: the configured ones (:class:`Backends`), or of a
    service on another host (:class:`cinderlib.service.upstream.UpstreamBackends`)."""

    capacities: Capacities

    @property
    def controller(self) -> Any:
        """The controller that the backends belong to."""

    @property
    def names(self) -> list[str]:
        """The names of the backends."""

    def check_name(self, name: str) -> None:
        """:raises BackendNotFound: no backend has that name."""

    def check_link(self, path: str) -> str:
        """:raises InvalidInput: a client must not have a link with that path."""

    def loaded(self, name: str) -> Backend:
        """A backend that can be used."""

    def failed_over(self, name: str, to: str | None) -> Replication:
        """Fail over a backend, which is loaded or not."""

    def load_all(self) -> None:
        """Load all backends, if this service has drivers."""

    def replace(
        self,
        names: list[str],
        options: Callable[[str], Mapping[str, Any]],
        *,
        settled: Callable[[], None],
    ) -> None:
        """Apply another configuration."""

    def states(self) -> list[dict[str, Any]]:
        """Of each backend: ``name``, ``loaded``, ``error``, ``driver``."""


class Backends(ConfiguredBackends):
    """The configured backends.

    :param links: the folder in which clients may have links to attached devices.
    :ivar capacities: their capacities, as they are known.
    """

    def __init__(
        self,
        controller: Controller,
        names: list[str],
        options: Callable[[str], Mapping[str, Any]],
        links: Path = Path("/dev/cinderlib"),
    ) -> None:
        super().__init__(controller, names, options)
        self.capacities = Capacities(self.loaded)
        self._links = links

    def check_link(self, path: str) -> str:
        """:raises InvalidInput: a client must not have a link with that path."""
        return link_paths.check(path, self._links)
