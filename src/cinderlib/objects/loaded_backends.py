"""The backends of a controller: their drivers are loaded, loaded again with other options, and
checked."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from cinderlib import errors, operations, validation, value_checks
from cinderlib.locking import state_folder
from cinderlib.locking.locks import Locks
from cinderlib.objects.backend import Backend
from cinderlib.objects.replicating import Replication, state_of
from cinderlib.observation import Observer
from cinderlib.operations.journal import Journal, Recovered
from cinderlib.persistence.base import Store
from cinderlib.progress import ProgressReporter
from cinderlib.records import SnapshotRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.drivers.port import Driver, Settings
    from cinderlib.drivers.port_values import DriverInfo, Lacks
    from cinderlib.node.checks.finding import Finding
    from cinderlib.objects.controller import Controller


class LoadedBackends:
    """The backends of a :class:`cinderlib.Controller`."""

    host: str
    project_id: str
    user_id: str
    store: Store
    journal: Journal
    _locks: Locks
    _folders: state_folder.Folders
    _driver_settings: dict[str, Any]
    _report_progress: ProgressReporter
    _observer: Observer | None
    _recover_at_start: bool

    _guard: threading.RLock
    _loading: Mapping[str, threading.RLock]
    _closed: bool
    _backends: dict[str, Backend]
    _recovered_by_loading: list[Recovered]
    #: Drivers of backends with replication, by name, which this thread received for an operation.
    _obtained: threading.local
    #: Drivers of backends that are not loaded, by name, with which this thread fails over.
    _failing_over: threading.local
    #: Drivers that were loaded again.
    _replaced: list[Driver]

    @property
    def backends(self) -> Mapping[str, Backend]:
        """The loaded backends, by name."""
        return MappingProxyType(self._backends)

    def backend(self, volume_backend_name: str, **driver_options: object) -> Backend:
        """Load a backend, or return the backend that is already loaded with the same options.

        See :class:`cinderlib.Backend` for arguments and errors.
        """
        name = validation.check_backend_name(volume_backend_name)
        given = validation.check_options(driver_options, "driver options")
        with self._loading[name]:
            existing = self._backends.get(name)
            if existing is not None:
                _refuse_other_options(existing, given)
                return existing
            with self._new_driver(name, given) as driver:
                backend = Backend._make(cast("Controller", self), name, given, driver)
                self._backends[name] = backend
        if self._recover_at_start:
            results = operations.recovery.recover(self.journal, name, pending_unmaps=False)
            recovered = [each for each in results if each.outcome in ("finished", "undone")]
            with self._guard:
                self._recovered_by_loading += recovered
        return backend

    def reload_backend(
        self, volume_backend_name: str, **driver_options: object
    ) -> Callable[[], None]:
        """Load a loaded backend's driver again with other options; its objects stay valid.

        :returns: a function that closes the previous driver; call it when no operation uses that
            driver any more.
        :raises BackendNotFound: the backend is not loaded.
        :raises CinderlibError: the new driver cannot be loaded; the previous one stays loaded.
        """
        backend = self.loaded(volume_backend_name)
        given = validation.check_options(driver_options, "driver options")
        name = backend.id
        with self._loading[name], self._new_driver(name, given) as driver:
            before = backend._driver
            backend._driver = driver
            backend._given, backend._stats = given, None
        return before.close

    def failover(
        self, volume_backend_name: str, to: str | None = None, **driver_options: object
    ) -> Replication:
        """Let a backend use the replicas of the volumes, or its own storage again, even if its
        driver cannot be loaded because the storage is lost.

        :param to: as in :meth:`cinderlib.Backend.failover`; ``'default'`` for its own storage.
        :param driver_options: as for :meth:`backend`.
        :returns: the state of the replication. :meth:`backend` then loads the driver for the
            storage that the backend uses now.
        :raises CinderlibError: as in :meth:`cinderlib.Backend.failover`, and as from
            :meth:`backend` if the options are wrong or a package is missing.
        """
        name = validation.check_backend_name(volume_backend_name)
        given = validation.check_options(driver_options, "driver options")
        wanted = None if to is None else value_checks.check_text(to, "to")
        with self._loading[name]:
            existing = self._backends.get(name)
            if existing is None:
                with contextlib.closing(self._load_driver(name, given, only_fails_over=True)) as it:
                    self._failing_over.__dict__[name] = it
                    try:
                        record, changed = operations.failover.failover(self.journal, name, wanted)
                    finally:
                        del self._failing_over.__dict__[name]
                    return state_of(record, it.info.replication_targets, changed)
        _refuse_other_options(existing, given)
        return existing.failover(wanted)

    def check_backend(self, volume_backend_name: str, **driver_options: object) -> list[str]:
        """Check the options of a backend without loading it or accessing its storage.

        :returns: requirements of the driver that this host lacks, as texts.
        :raises ConfigurationError: an option is unknown or has an invalid value; ``resource`` is
            the name of the option, if the error is about one.
        :raises MissingDependency: the driver cannot be imported on this host.
        """
        return self._lacks(volume_backend_name, driver_options).words

    def _lacks(self, name: str, options: Mapping[str, Any]) -> Lacks:
        from cinderlib import drivers

        name = validation.check_backend_name(name)
        options = validation.check_options(options, "driver options")
        return drivers.check(name, options, settings=self._settings(create=False))

    def diagnose(
        self, backends: Mapping[str, Mapping[str, Any]] | None = None
    ) -> tuple[Finding, ...]:
        """Find problems that keep backends from loading here, and nodes with equal identities.

        It creates only the state folder and does not access storage. It checks the state folder,
        the nodes in the store, and the requirements of each driver on this host.

        :param backends: name -> options, including ``volume_driver``; by default the loaded
            backends.
        :returns: the findings, the worst first. :meth:`cinderlib.Node.diagnose` has those of the
            attaching host.
        """
        from cinderlib.node.checks.host import Host
        from cinderlib.objects import diagnosis

        if backends is None:
            backends = {name: backend._given for name, backend in self._backends.items()}
        else:
            backends = {
                name: value_checks.check_mapping(options, f"options of backend {name!r}")
                for name, options in value_checks.check_mapping(backends, "backends").items()
            }
        host = Host(self._driver_settings["root_helper"])
        return diagnosis.check(cast("Controller", self), self._folders.path, host, backends)

    @contextlib.contextmanager
    def _new_driver(self, name: str, given: Mapping[str, Any]) -> Iterator[Driver]:
        """Load a driver for the current store. While the context is entered, the store stays."""
        while True:
            store = self.store
            driver = self._load_driver(name, given)
            with self._guard:
                if store is self.store and not self._closed:
                    yield driver
                    return
            driver.close()
            if self._closed:
                raise errors.InvalidState(
                    f"Backend {name!r} is not loaded: the controller was closed", resource=name
                )

    def _load_driver(
        self, name: str, given: Mapping[str, Any], *, only_fails_over: bool = False
    ) -> Driver:
        from cinderlib import drivers, first_use

        # The package on the disk can be upgraded while this process runs. It must not execute
        # operations of two versions.
        first_use.import_all("cinderlib.operations")
        settings = dataclasses.replace(self._settings(), only_fails_over=only_fails_over)
        return drivers.load(
            name,
            given,
            store=self.store,
            settings=settings,
            lock=self._locks.of_backend(name),
            progress=self._report_progress,
            observer=self._observer,
        )

    def _settings(self, *, create: bool = True) -> Settings:
        """:param create: create the folders that a driver uses."""
        from cinderlib import drivers

        folders = self._folders

        return drivers.Settings(
            host=self.host,
            state_path=folders.drivers if create else str(folders.drivers_path),
            lock_path=folders.locks if create else str(folders.locks_path),
            project_id=self.project_id,
            user_id=self.user_id,
            **self._driver_settings,
        )

    def loaded(self, name: str) -> Backend:
        """A loaded backend.

        :raises BackendNotFound: no loaded backend has that name.
        """
        found = self._backends.get(name) if isinstance(name, str) else None
        if found is None:
            known = ", ".join(sorted(self._backends)) or "none"
            raise errors.BackendNotFound(
                f"Backend {value_checks.shown(name)} is not loaded in this controller; loaded:"
                f" {known}",
                resource=name,
            )
        return found

    def _driver(self, name: str) -> Driver:
        failing_over: Driver | None = self._failing_over.__dict__.get(name)
        if failing_over is not None:
            return failing_over
        backend = self.loaded(name)
        if not backend._driver.info.replication_targets:
            self._obtained.__dict__.pop(name, None)
            return backend._driver
        driver = self._driver_of_active_storage(backend)
        self._obtained.__dict__[name] = driver
        return driver

    def _used_driver(self, name: str) -> DriverInfo | None:
        """The driver that this thread received since the last call of this method, if the backend
        has replication."""
        driver: Driver | None = self._obtained.__dict__.pop(name, None)
        return None if driver is None else driver.info

    def _driver_of_active_storage(self, backend: Backend) -> Driver:
        """The driver, loaded again if another process failed over the backend, or if a failover is
        repeated: a driver that has failed over would not return its changes again."""
        name = backend.id
        state = operations.replication.find(self.store, name)
        is_running = (
            state.status == operations.replication.FAILING_OVER and not self.journal.is_recovering
        )
        if is_running or state.active_backend_id == backend._driver.info.active_backend_id:
            return backend._driver
        with self._loading[name]:
            if state.active_backend_id != backend._driver.info.active_backend_id:
                with self._new_driver(name, backend._given) as driver:
                    # Other threads can use the previous one.
                    self._replaced.append(backend._driver)
                    backend._driver, backend._stats = driver, None
        return backend._driver

    def name_in_storage(self, record: VolumeRecord | SnapshotRecord) -> str:
        """The name of a volume or snapshot on the array. Its backend must be loaded."""
        if not isinstance(record, VolumeRecord | SnapshotRecord):
            raise errors.InvalidInput(
                f"The record of a volume or snapshot is needed, not {value_checks.shown(record)}."
            )
        return self._driver(record.backend).name_in_storage(record)


def _refuse_other_options(backend: Backend, options: Mapping[str, Any]) -> None:
    # The message contains only names: a value can be a password.
    missing = object()
    names = {*backend._given, *options}
    differ = sorted(
        name for name in names if backend._given.get(name, missing) != options.get(name, missing)
    )
    if differ:
        raise errors.ConfigurationError(
            f"Backend {backend.id!r} is loaded with other options; these differ:"
            f" {', '.join(differ)}",
            resource=backend,
        )
