"""Controllers: one store, its backends, its locks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any

from cinderlib import errors, persistence, serialization, validation
from cinderlib.drivers import loggers
from cinderlib.locking import state_folder
from cinderlib.locking.files import FileLocks
from cinderlib.locking.locks import Locks, ToozLocks
from cinderlib.locking.process_identity import this_host
from cinderlib.locking.shared import SharedLocks
from cinderlib.node.this_host import LocalHost
from cinderlib.objects import documents_in, documents_out, record_persistence
from cinderlib.objects.backend import Backend
from cinderlib.objects.connection import Connection
from cinderlib.objects.documents_in import Loaded
from cinderlib.objects.resource import Resource
from cinderlib.objects.snapshot import Snapshot
from cinderlib.objects.store_queries import StoreQueries
from cinderlib.objects.volume import Volume
from cinderlib.operations import recovery
from cinderlib.operations.journal import Journal, Recovered
from cinderlib.persistence import PersistenceConfig
from cinderlib.persistence.base import Store
from cinderlib.progress import Listener, ProgressReporter
from cinderlib.records import (
    Record,
    SnapshotRecord,
    VolumeRecord,
)

if TYPE_CHECKING:
    from cinderlib.drivers.port import Driver, Settings
    from cinderlib.drivers.requirements import Lacks
    from cinderlib.node.checks.finding import Finding
    from cinderlib.persistence.driver_base import PersistenceDriverBase
    from cinderlib.persistence.encryption import Rotation

#: The owner of new volumes unless another is specified, as in cinderlib 5: arrays may have it as
#: the name of an account.
DEFAULT_PROJECT_ID = DEFAULT_USER_ID = "cinderlib"


class Controller(StoreQueries):
    """Drives backends and keeps their metadata in one store.

    Several can live in one process. Use it as a context manager, or call :meth:`close`.

    :param persistence_config: ``{'storage': 'memory'}`` (the default), ``{'storage': 'db',
        'connection': <SQLAlchemy URL>}``, the name of an installed plug-in, or a class or instance
        of a store. With ``'encryption_keys'`` in it, secrets are encrypted in the store.
    :param file_locks_path: folder for the locks of drivers, and of stores that keep none of their
        own; must be the same for all processes that use the same storage. By default
        ``/var/lib/cinderlib/locks`` for root, and for others a folder in the home directory of
        their account, whatever ``state_path`` is.
    :param root_helper: the command that runs another as root, when this process is not.
    :param suppress_requests_ssl_warnings: no warning for each call to an array whose certificate is
        not verified.
    :param disable_logs: quiet the loggers of Cinder, os-brick and oslo; no other logger. Otherwise
        Cinder's options ``debug`` and ``default_log_levels`` set their levels. Handlers are the
        program's: options such as ``log_file`` have no effect, and a warning is logged.
    :param non_uuid_ids: allow ids that are no UUIDs.
    :param output_all_backend_info: put the options of backends, secrets included, into documents
        and ``Backend.config``.
    :param project_id: of new volumes, by default :data:`cinderlib.DEFAULT_PROJECT_ID`. Some drivers
        keep the volumes of a project apart.
    :param user_id: of new volumes, by default :data:`cinderlib.DEFAULT_USER_ID`.
    :param fail_on_missing_backend: whether a volume of a backend that is not loaded is an error
        when its ``backend`` is asked for; otherwise that is the backend's name.
    :param host: the name before the ``@`` in the ``host`` of new volumes; by default this host's.
    :param state_path: folder for what the library keeps besides the store; by default
        ``/var/lib/cinderlib`` for root and the user's state folder for others.
    :param strict_options: whether an unknown option of a backend is an error; otherwise a warning
        is logged.
    :param lock_url: of a tooz coordinator (``etcd3+http://host:2379``), for a store of your own
        that several hosts share. By default the database server keeps the locks, and for other
        stores files do.
    :param lock_timeout: seconds to wait while another works on the same resource.
    :param recover: whether interrupted operations of a backend are settled when it is loaded.
    :param progress: is called with a :class:`cinderlib.Progress` while data is copied, by drivers
        that say how far they are, and while interrupted operations are settled.
    :param cinder_options: options of Cinder that belong to no backend, by name. They apply to the
        whole process.
    :raises InvalidPersistence: the store cannot be.
    :raises ConfigurationError: an option is unknown or impossible.
    """

    def __init__(
        self,
        persistence_config: PersistenceConfig = None,
        *,
        file_locks_path: str | os.PathLike[str] | None = None,
        root_helper: str = "sudo",
        suppress_requests_ssl_warnings: bool = True,
        disable_logs: bool = True,
        non_uuid_ids: bool = False,
        output_all_backend_info: bool = False,
        project_id: str | None = None,
        user_id: str | None = None,
        fail_on_missing_backend: bool = True,
        host: str | None = None,
        state_path: str | os.PathLike[str] | None = None,
        strict_options: bool = True,
        lock_url: str | None = None,
        lock_timeout: float = 60.0,
        recover: bool = True,
        progress: Listener | None = None,
        cinder_options: Mapping[str, object] | None = None,
    ) -> None:
        self.host = this_host() if host is None else validation.check_host_name(host)
        self.project_id = project_id or DEFAULT_PROJECT_ID
        self.user_id = user_id or DEFAULT_USER_ID
        self.non_uuid_ids = non_uuid_ids
        self.output_all_backend_info = output_all_backend_info
        self.fail_on_missing_backend = fail_on_missing_backend
        self._recover_at_start = recover
        self._tell = ProgressReporter(progress)
        self._folders = state_folder.Folders(state_path, file_locks_path)
        self._driver_settings: dict[str, Any] = {
            "root_helper": root_helper,
            "suppress_requests_ssl_warnings": suppress_requests_ssl_warnings,
            "cinder_options": dict(cinder_options or {}),
            "strict_options": strict_options,
        }
        self._lock_url = lock_url
        self._lock_timeout = lock_timeout
        self._loading = threading.RLock()
        self._backends: dict[str, Backend] = {}
        self._settled_by_loading: list[Recovered] = []
        my_ip = self._driver_settings["cinder_options"].get("my_ip")
        self.local_host = LocalHost(root_helper, my_ip, self._folders.node)
        # What this controller makes are instances of its own classes, so that look-ups by class
        # (``backend.Volume.get_by_id``) are made in its store.
        bound = {"_bound": self}
        self.Volume: type[Volume] = type("Volume", (Volume,), bound)
        self.Snapshot: type[Snapshot] = type("Snapshot", (Snapshot,), bound)
        self.Connection: type[Connection] = type("Connection", (Connection,), bound)
        self._classes: Mapping[type[Record], type[Resource]] = {
            kind._kind: kind for kind in (self.Volume, self.Snapshot, self.Connection)
        }
        if disable_logs:
            loggers.quiet()
        else:
            loggers.set_levels(self._driver_settings["cinder_options"])
        self.store: Store
        self.journal: Journal
        self.persistence: PersistenceDriverBase
        self._open(persistence_config)

    def _open(self, persistence_config: PersistenceConfig) -> None:
        self.store = persistence.open_store(persistence_config)
        self.persistence = record_persistence.of_store(self.store, self.wrap)
        self._locks = Locks(self._shared_locks(), self._lock_timeout)
        self.journal = Journal(self.store, self._locks, self._driver, self.local_host, self._tell)

    def _shared_locks(self) -> SharedLocks | None:
        if self._lock_url is not None:
            return ToozLocks(self._lock_url)
        if self.store.locks is not None:
            return self.store.locks
        # Where a plug-in keeps its records is not known, so all who use one on this host share
        # these.
        return FileLocks(f"{self._folders.locks}/locks") if self.store.shared else None

    def set_persistence(self, persistence_config: PersistenceConfig) -> None:
        """Work with another store from now on; loaded backends stay loaded. Nothing is moved:
        ``dumps`` before and ``load(..., save=True)`` after do that."""
        with self._loading:
            before, locks = self.store, self._locks
            loaded = [(b._name, b._given) for b in self._backends.values()]
            self._open(persistence_config)
            for backend in self._backends.values():
                backend._driver.close()
            for name, given in loaded:
                self._backends[name]._driver = self._load_driver(name, given)
            locks.close()
            before.close()

    # --- backends ------------------------------------------------------------------------------

    @property
    def backends(self) -> Mapping[str, Backend]:
        """The backends that are loaded, by name."""
        return MappingProxyType(self._backends)

    def backend(self, volume_backend_name: str, **driver_options: object) -> Backend:
        """Load a backend, or give the one that is loaded with the same options.

        See :class:`cinderlib.Backend` for arguments and errors.
        """
        name = validation.check_backend_name(volume_backend_name)
        with self._loading:
            there = self._backends.get(name)
            if there is not None:
                _refuse_other_options(there, driver_options)
                return there
            given = dict(driver_options)
            driver = self._load_driver(name, given)
            backend = Backend._make(self, name, given, driver)
            self._backends[name] = backend
        if self._recover_at_start:
            told = recovery.recover(self.journal, name, pending_unmaps=False)
            settled = [each for each in told if each.outcome in ("finished", "undone")]
            with self._loading:
                self._settled_by_loading += settled
        return backend

    def reload_backend(
        self, volume_backend_name: str, **driver_options: object
    ) -> Callable[[], None]:
        """Load a loaded backend's driver anew, with other options; the objects stay valid.

        :returns: closes the driver from before; to be called once nothing runs on it any more.
        :raises BackendNotFound: it is not loaded.
        :raises CinderlibError: the new driver cannot be loaded; the one from before stays.
        """
        backend = self.loaded(volume_backend_name)
        with self._loading:
            before = backend._driver
            backend._driver = self._load_driver(volume_backend_name, driver_options)
            backend._given, backend._stats = dict(driver_options), None
        return before.close

    def check_backend(self, volume_backend_name: str, **driver_options: object) -> list[str]:
        """Check the options of a backend without loading it; its storage is not asked.

        :returns: what its driver needs and this host lacks, each in words.
        :raises ConfigurationError: an option is unknown or impossible; ``resource`` is its name
            where it is about one.
        :raises MissingDependency: the driver cannot be imported here.
        """
        return self._lacks(volume_backend_name, driver_options).words

    def _lacks(self, name: str, options: Mapping[str, Any]) -> Lacks:
        from cinderlib import drivers

        name = validation.check_backend_name(name)
        return drivers.check(name, options, settings=self._settings(create=False))

    def diagnose(
        self, backends: Mapping[str, Mapping[str, Any]] | None = None
    ) -> tuple[Finding, ...]:
        """Look what keeps backends from loading here, and nodes from being told apart.

        Only the state folder is made, and no storage is asked. It looks at that folder, at the
        nodes that the store knows, and at what each driver needs of this host.

        :param backends: name -> options, ``volume_driver`` among them; by default those that are
            loaded.
        :returns: what was found, the worst first. :meth:`cinderlib.Node.diagnose` has the other
            half.
        """
        from cinderlib.node.checks.host import Host
        from cinderlib.objects import diagnosis

        if backends is None:
            backends = {name: backend._given for name, backend in self._backends.items()}
        host = Host(self._driver_settings["root_helper"])
        return diagnosis.check(self, self._folders.path, host, backends)

    def _load_driver(self, name: str, given: Mapping[str, Any]) -> Driver:
        from cinderlib import drivers

        return drivers.load(
            name,
            given,
            store=self.store,
            settings=self._settings(),
            lock=self._locks.of_backend(name),
            progress=self._tell,
        )

    def _settings(self, *, create: bool = True) -> Settings:
        """:param create: whether the folders that a driver uses are created."""
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

        :raises BackendNotFound: none of that name is loaded.
        """
        found = self._backends.get(name)
        if found is None:
            known = ", ".join(sorted(self._backends)) or "none"
            raise errors.BackendNotFound(
                f"Backend {name!r} is not loaded in this controller; loaded: {known}",
                resource=name,
            )
        return found

    def _driver(self, name: str) -> Driver:
        return self.loaded(name)._driver

    def name_in_storage(self, record: VolumeRecord | SnapshotRecord) -> str:
        """What a volume or snapshot is called on the array; its backend must be loaded."""
        return self._driver(record.backend).name_in_storage(record)

    # --- this host -----------------------------------------------------------------------------

    def local_connector(self, backend: Backend) -> dict[str, Any]:
        """The connector properties of this host, as far as a backend's protocol needs them."""
        info = backend._driver.info
        node = self.local_host.node(
            multipath=info.multipath, enforce_multipath=info.enforce_multipath
        )
        protocol = backend.driver_stats().get("storage_protocol")
        return node.connector_properties(protocol if isinstance(protocol, str) else None)

    # --- documents -----------------------------------------------------------------------------

    def document_options(self, backend: str) -> dict[str, Any] | None:
        """The options of a backend that go into documents."""
        loaded = self._backends.get(backend)
        if loaded is None or not self.output_all_backend_info:
            return None
        return {k: v for k, v in loaded.config.items() if k != "volume_backend_name"}

    def documents(self, volumes: Iterable[Volume]) -> Iterator[serialization.VolumeDocument]:
        """Documents of volumes with their snapshots and connections, **with their secrets**.

        They are read a few at a time as they are asked for, so that of any number of volumes few
        are in memory: ``controller.documents(controller.volumes())``. ``serialization.to_line``
        makes a line of JSON of one, which :meth:`load` reads.
        """
        return documents_out.documents(self, volumes)

    def load(
        self,
        json_src: documents_in.Source,
        *,
        save: bool = False,
        trusted: bool = False,
        max_bytes: int = serialization.MAX_BYTES,
    ) -> Loaded | list[Loaded]:
        """The resources of a document, or of a list of them.

        :param json_src: what ``json``, ``jsons``, ``dump`` or ``dumps`` of this library or of
            cinderlib 5 gave.
        :param save: whether everything in it is stored, over what is there.
        :param trusted: whether backends that are not loaded are loaded with the options in the
            document, which runs the drivers that it names.
        :param max_bytes: longest text that is read.
        :returns: an object, or a list of them.
        :raises InvalidDocument: it is no such document; nothing was stored.
        :raises BackendNotFound: it is a backend's, which is not loaded and cannot be.
        """
        return documents_in.load(self, json_src, save=save, trusted=trusted, max_bytes=max_bytes)

    # --- crashes -------------------------------------------------------------------------------

    def recover(self) -> list[Recovered]:
        """Bring operations that were interrupted, by a crash or by a store that failed, to a
        settled state: finished or undone.

        Those of backends that are not loaded here fail and stay for later.

        :returns: what was done with each, also by the loading of a backend since this was last
            called.
        """
        with self._loading:
            settled, self._settled_by_loading = self._settled_by_loading, []
        return settled + recovery.recover(self.journal)

    # --- secrets in the store ------------------------------------------------------------------

    def rotate_encryption(self) -> Rotation:
        """Encrypt with the first of ``encryption_keys`` all secrets in the store that are in clear
        or under another key. It can be interrupted and called again, and others may use the store
        meanwhile, if they have that key.

        :returns: how many records were encrypted, were so already, and have a secret that no key
            opens.
        :raises InvalidPersistence: the store was opened without ``encryption_keys``.
        :raises StoreError: the store failed; what was done by then stays.
        """
        from cinderlib.persistence.encryption import EncryptedStore

        if not isinstance(self.store, EncryptedStore):
            raise errors.InvalidPersistence(
                f"The secrets in {self.store} are not encrypted: give encryption_keys in"
                " persistence_config, or in [store] of the configuration"
            )
        return self.store.rotate(self._tell)

    # --- end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Unload the backends and close the store. Nothing on the storage changes."""
        with self._loading:
            for backend in self._backends.values():
                backend._driver.close()
            self._backends.clear()
            self._locks.close()
            self.store.close()

    def __enter__(self) -> Controller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cinderlib.Controller store={self.store!r} backends={list(self._backends)}>"


def _refuse_other_options(backend: Backend, options: Mapping[str, Any]) -> None:
    # Names only: a value can be a password.
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
