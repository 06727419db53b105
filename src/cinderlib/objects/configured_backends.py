"""The backends of a configuration, each loaded when it is first used."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cinderlib import errors

if TYPE_CHECKING:
    from cinderlib.objects.backend import Backend
    from cinderlib.objects.controller import Controller
    from cinderlib.objects.replicating import Replication

LOG = logging.getLogger(__name__)


class ConfiguredBackends:
    """The backends of a configuration.

    :param names: of all of them, in the order of the configuration.
    :param options: returns the options of a backend, ``volume_driver`` among them, by its name.
    """

    def __init__(
        self,
        controller: Controller,
        names: list[str],
        options: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self.controller = controller
        self.names = names
        self._options = options
        self._guards = {name: threading.Lock() for name in names}
        self._failures: dict[str, str] = {}
        #: The options that each loaded backend has.
        self._used: dict[str, dict[str, Any]] = {}

    def check_name(self, name: str) -> None:
        """:raises BackendNotFound: the configuration has no such backend."""
        if name not in self._guards:
            known = ", ".join(self.names) or "none"
            raise errors.BackendNotFound(
                f"Backend {name!r} is not configured; configured: {known}",
                resource=name,
            )

    def loaded(self, name: str) -> Backend:
        """A backend, loaded now if it was not; one whose storage failed is tried again.

        :raises BackendNotFound: the configuration has no such backend.
        :raises CinderlibError: it cannot be loaded.
        """
        self.check_name(name)
        found = self.controller.backends.get(name)
        if found is not None:
            return found
        with self._guards[name]:
            try:
                options = dict(self._options(name))
                backend = self.controller.backend(name, **options)
            except errors.CinderlibError as exc:
                self._failures[name] = str(exc)
                raise
            self._failures.pop(name, None)
            self._used[name] = options
            return backend

    def failed_over(self, name: str, to: str | None) -> Replication:
        """Fail over a backend, which is loaded or not: its storage can be lost.

        :raises BackendNotFound: the configuration has no such backend.
        :raises CinderlibError: see :meth:`cinderlib.Controller.failover`.
        """
        self.check_name(name)
        found = self.controller.backends.get(name)
        if found is not None:
            return found.failover(to)
        return self.controller.failover(name, to, **self._options(name))

    def load_all(self) -> None:
        """Load all backends; a failure is logged, and shown by :meth:`states`."""
        for name in self.names:
            try:
                self.loaded(name)
            except errors.CinderlibError as exc:
                LOG.warning("Backend %s cannot be loaded: %s", name, exc)

    def replace(
        self,
        names: list[str],
        options: Callable[[str], Mapping[str, Any]],
        *,
        settled: Callable[[], None],
    ) -> None:
        """Apply another configuration: new backends are loaded when they are first used, changed
        ones are loaded again now, removed ones are refused from now on.

        :param settled: returns once no call that runs now has the drivers from before.
        """
        # Not the previous configuration: files with secrets may have changed since.
        used = dict(self._used).items()
        changed = [name for name, before in used if name in names and before != options(name)]
        for name in names:
            self._guards.setdefault(name, threading.Lock())
        for name in set(self._guards) - set(names):
            del self._guards[name]
        self.names, self._options = names, options
        closing = [self._reloaded(name) for name in changed if name in self.controller.backends]
        settled()
        for close in closing:
            close()

    def _reloaded(self, name: str) -> Callable[[], None]:
        with self._guards[name]:
            options = dict(self._options(name))
            close = self.controller.reload_backend(name, **options)
            self._used[name] = options
            return close

    def states(self) -> list[dict[str, Any]]:
        """Of each backend: ``name``, ``loaded``, ``error`` (of the last try), ``driver``."""
        loaded = self.controller.backends
        return [
            {
                "name": name,
                "loaded": name in loaded,
                "error": self._failures.get(name),
                "driver": self._options(name).get("volume_driver"),
            }
            for name in self.names
        ]
