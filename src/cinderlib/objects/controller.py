"""The controller: a store, backends and locks."""

from __future__ import annotations

import collections
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cinderlib import errors, keys, operations, persistence, serialization, validation, value_checks
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
from cinderlib.objects.controller_base import ControllerBase
from cinderlib.objects.documents_in import Loaded
from cinderlib.objects.loaded_backends import LoadedBackends
from cinderlib.objects.nodes import RegisteredNodes
from cinderlib.objects.placing import Placing
from cinderlib.objects.snapshot import Snapshot
from cinderlib.objects.volume import Volume
from cinderlib.observation import Observer, guarded
from cinderlib.operations.history import DEFAULT_LIMIT
from cinderlib.operations.journal import Journal, Recovered
from cinderlib.persistence import PersistenceConfig
from cinderlib.persistence.base import Store
from cinderlib.progress import Listener, ProgressReporter

if TYPE_CHECKING:
    from cinderlib.drivers.port import Driver
    from cinderlib.operations.history_query import Operation
    from cinderlib.persistence.driver_base import PersistenceDriverBase
    from cinderlib.persistence.encryption import Rotation
    from cinderlib.records import ConnectionRecord

#: The owner of new volumes unless another is specified, as in cinderlib 5: an array may use it as
#: an account name.
DEFAULT_PROJECT_ID = DEFAULT_USER_ID = "cinderlib"


class Controller(LoadedBackends, ControllerBase, RegisteredNodes, Placing):
    """Drives backends and keeps their metadata in one store.

    A process can have several controllers. Use it as a context manager, or call :meth:`close`.

    :param persistence_config: ``{'storage': 'memory'}`` (the default), ``{'storage': 'db',
        'connection': <URL>}``, the name of an installed plug-in, or a class or instance
        of a store. With ``'encryption_keys'`` in it, secrets are encrypted in the store.
    :param file_locks_path: folder for the locks of drivers, and of stores without their own locks.
        All processes that use the same storage must use the same folder. By default
        ``/var/lib/cinderlib/locks`` for root, and for other users a folder in the home directory of
        their account, independent of ``state_path``.
    :param root_helper: the command that runs other commands as root if this process is not root.
    :param suppress_requests_ssl_warnings: no warning for each call to an array whose certificate is
        not verified.
    :param disable_logs: silence the loggers of Cinder, os-brick and oslo; no other logger.
        Otherwise Cinder's options ``debug`` and ``default_log_levels`` set their levels. The
        program configures the handlers: options such as ``log_file`` have no effect, and a warning
        is logged.
    :param non_uuid_ids: allow IDs that are not UUIDs.
    :param output_all_backend_info: include the options of backends, with secrets, in documents and
        ``Backend.config``.
    :param project_id: of new volumes, by default :data:`cinderlib.DEFAULT_PROJECT_ID`. Some drivers
        separate the volumes of different projects.
    :param user_id: of new volumes, by default :data:`cinderlib.DEFAULT_USER_ID`.
    :param fail_on_missing_backend: raise an error for the ``backend`` of a volume if that backend
        is not loaded; otherwise the attribute is the backend's name.
    :param host: the name before the ``@`` in the ``host`` of new volumes; by default this host's.
    :param state_path: folder for data outside the store; by default ``/var/lib/cinderlib`` for root
        and the user's state folder for others.
    :param strict_options: raise an error for an unknown option of a backend; otherwise a warning
        is logged.
    :param lock_url: URL of a tooz coordinator (``etcd3+http://host:2379``), for a plug-in store
        that several hosts share. By default the database server provides the locks, and for other
        stores files do.
    :param lock_timeout: seconds to wait while another thread or process uses the same resource.
    :param recover: finish or undo interrupted operations of a backend when it is loaded.
    :param progress: called with a :class:`cinderlib.Progress` during copies of data, if the driver
        reports its progress, and during recovery.
    :param observer: called with each :class:`cinderlib.Activity`: calls of drivers, waits for
        locks, starts of drivers' processes, recovery. It returns a context manager in which the
        activity runs.
    :param cinder_options: options of Cinder that do not belong to a backend, by name. They apply to
        the whole process.
    :param history_limit: number of ended operations in the store (see :meth:`history`); 0: none.
    :param volume_keys: the places for the keys of encrypted volumes: ``{'manager': 'store'}`` (the
        default), ``{'manager': 'file', 'folder': <path>}`` or ``{'manager': 'castellan',
        'castellan_config': <path>}``. New keys are kept by the ``manager``, existing ones are read
        from all places that have a path.
    :raises InvalidPersistence: the store cannot be used.
    :raises ConfigurationError: an option is unknown or has an invalid value.
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
        observer: Observer | None = None,
        cinder_options: Mapping[str, object] | None = None,
        history_limit: int = DEFAULT_LIMIT,
        volume_keys: Mapping[str, Any] | None = None,
    ) -> None:
        self.host = this_host() if host is None else validation.check_host_name(host)
        text, flag = value_checks.check_optional_text, value_checks.check_flag
        self.project_id = text(project_id, "project_id") or DEFAULT_PROJECT_ID
        self.user_id = text(user_id, "user_id") or DEFAULT_USER_ID
        self.non_uuid_ids = flag(non_uuid_ids, "non_uuid_ids")
        self.output_all_backend_info = flag(output_all_backend_info, "output_all_backend_info")
        self.fail_on_missing_backend = flag(fail_on_missing_backend, "fail_on_missing_backend")
        self._recover_at_start = flag(recover, "recover")
        self._report_progress = ProgressReporter(progress)
        self._observer = guarded(observer)
        self._folders = state_folder.Folders(state_path, file_locks_path)
        self._driver_settings: dict[str, Any] = {
            "root_helper": value_checks.check_text(root_helper, "root_helper"),
            "suppress_requests_ssl_warnings": flag(
                suppress_requests_ssl_warnings, "suppress_requests_ssl_warnings"
            ),
            "cinder_options": validation.check_options(
                {} if cinder_options is None else cinder_options, "cinder_options"
            ),
            "strict_options": flag(strict_options, "strict_options"),
        }
        self._volume_keys = keys.configured(volume_keys)
        self._history_limit = value_checks.check_whole_number(history_limit, "history_limit")
        self._lock_url = text(lock_url, "lock_url")
        self._lock_timeout = value_checks.check_seconds(lock_timeout, "lock_timeout")
        # Guards the fields below. While a driver is loaded, only the lock of that backend is held.
        self._guard = threading.RLock()
        self._loading: collections.defaultdict[str, threading.RLock] = collections.defaultdict(
            threading.RLock
        )
        self._closed = False
        self._backends: dict[str, Backend] = {}
        self._obtained = threading.local()
        self._failing_over = threading.local()
        self._replaced: list[Driver] = []
        self._recovered_by_loading: list[Recovered] = []
        my_ip = self._driver_settings["cinder_options"].get("my_ip")
        self.local_host = LocalHost(root_helper, my_ip, self._folders.node)
        self._create_classes(Volume, Snapshot, Connection)
        if flag(disable_logs, "disable_logs"):
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
        self._locks = Locks(self._shared_locks(), self._lock_timeout, self._observer)
        self.journal = Journal(
            self.store,
            self._locks,
            self._volume_keys,
            self._driver,
            self.local_host,
            self._report_progress,
            self._observer,
            self._history_limit,
            self._used_driver,
        )

    def _shared_locks(self) -> SharedLocks | None:
        if self._lock_url is not None:
            return ToozLocks(self._lock_url)
        if self.store.locks is not None:
            return self.store.locks
        # The location of a plug-in's records is unknown, so all its users on this host share these.
        return FileLocks(f"{self._folders.locks}/locks") if self.store.shared else None

    def set_persistence(self, persistence_config: PersistenceConfig) -> None:
        """Use another store from now on; loaded backends stay loaded. No records are moved: use
        ``dumps`` before and ``load(..., save=True)`` after."""
        with self._guard:
            before, locks = self.store, self._locks
            loaded = [(b._name, b._given) for b in self._backends.values()]
            self._open(persistence_config)
            for backend in self._backends.values():
                backend._driver.close()
            for name, given in loaded:
                self._backends[name]._driver = self._load_driver(name, given)
            locks.close()
            before.close()

    def with_key(self, connection: ConnectionRecord) -> ConnectionRecord:
        return operations.encryption.with_key(self._volume_keys, super().with_key(connection))

    # --- documents -----------------------------------------------------------------------------

    def document_options(self, backend: str) -> dict[str, Any] | None:
        """The options of a backend for documents; ``None`` if they are not included."""
        loaded = self._backends.get(value_checks.check_text(backend, "backend"))
        if loaded is None or not self.output_all_backend_info:
            return None
        return {k: v for k, v in loaded.config.items() if k != "volume_backend_name"}

    def documents(self, volumes: Iterable[Volume]) -> Iterator[serialization.VolumeDocument]:
        """Documents of volumes with their snapshots and connections, **with their secrets**.

        They are read in small groups on demand, so memory stays constant for any number of volumes:
        ``controller.documents(controller.volumes())``. ``serialization.to_line`` converts a
        document to a line of JSON, which :meth:`load` reads.
        """
        return documents_out.documents(self, value_checks.check_items(volumes, Volume, "volumes"))

    def load(
        self,
        json_src: documents_in.Source,
        *,
        save: bool = False,
        trusted: bool = False,
        max_bytes: int = serialization.MAX_BYTES,
    ) -> Loaded | list[Loaded]:
        """The resources of a document, or of a list of them.

        :param json_src: the result of ``json``, ``jsons``, ``dump`` or ``dumps``, of this library
            or of cinderlib 5.
        :param save: store all its records, and overwrite existing ones.
        :param trusted: load missing backends with the options in the document. This runs the
            drivers that the document names.
        :param max_bytes: longest text that is read.
        :returns: an object, or a list of objects.
        :raises InvalidDocument: it is not a valid document. No record was stored.
        :raises BackendNotFound: it describes a backend that is not loaded and cannot be loaded.
        """
        return documents_in.load(
            self,
            json_src,
            save=value_checks.check_flag(save, "save"),
            trusted=value_checks.check_flag(trusted, "trusted"),
            max_bytes=value_checks.check_whole_number(max_bytes, "max_bytes"),
        )

    # --- recovery ------------------------------------------------------------------------------

    def recover(self) -> list[Recovered]:
        """Finish or undo operations that were interrupted by a crash or a failed store.

        Operations of backends that are not loaded fail and stay recorded.

        :returns: the result for each, including operations that loading a backend recovered since
            the last call.
        """
        with self._guard:
            recovered, self._recovered_by_loading = self._recovered_by_loading, []
        return recovered + operations.recovery.recover(self.journal)

    def _history(self, asked: dict[str, Any]) -> list[Operation]:
        return operations.history_query.read(self.store, **asked)

    # --- secrets in the store ------------------------------------------------------------------

    def rotate_encryption(self) -> Rotation:
        """Encrypt all secrets in the store that are in clear or under another key with the first of
        ``encryption_keys``. It can be interrupted and called again. Others can use the store at the
        same time, if they have that key.

        :returns: numbers of records: encrypted now, already encrypted, and with a secret that no
            key decrypts.
        :raises InvalidPersistence: the store was opened without ``encryption_keys``.
        :raises StoreError: the store failed; records that were already encrypted stay so.
        """
        from cinderlib.persistence.encryption import EncryptedStore

        if not isinstance(self.store, EncryptedStore):
            raise errors.InvalidPersistence(
                f"The secrets in {self.store} are not encrypted: specify encryption_keys in"
                " persistence_config, or in [store] of the configuration"
            )
        return self.store.rotate(self._report_progress)

    # --- closing -------------------------------------------------------------------------------

    def close(self) -> None:
        """Unload the backends and close the store. Nothing on the storage changes."""
        with self._guard:
            self._closed = True
            for backend in self._backends.values():
                backend._driver.close()
            for driver in self._replaced:
                driver.close()
            self._backends.clear()
            self._locks.close()
            self.store.close()

    def __repr__(self) -> str:
        return f"<cinderlib.Controller store={self.store!r} backends={list(self._backends)}>"
