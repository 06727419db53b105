"""Loads a driver: finds its class, checks its options, creates it and runs its setup."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

from cinder import exception
from cinder.volume import driver as volume_driver

from cinderlib.drivers import (
    abilities,
    bootstrap,
    failures,
    lookup,
    loops,
    methods,
    names,
    options,
    provider_info,
    quick_rules,
    replicating,
    requirements,
    scope,
    threads,
    translate,
)
from cinderlib.drivers.database import Database
from cinderlib.drivers.port import Settings
from cinderlib.drivers.port_values import DriverInfo, Lacks
from cinderlib.drivers.registry_lock import REGISTRY_LOCK
from cinderlib.drivers.scope import Scope, View
from cinderlib.drivers.snapshot_access import SnapshotAccessDriver
from cinderlib.errors import CinderlibError, ConfigurationError, DriverError, MissingDependency
from cinderlib.locking.backend_lock import BackendLock
from cinderlib.persistence import in_key_values
from cinderlib.persistence.base import Store
from cinderlib.progress import Listener
from cinderlib.records import ReplicationRecord, VolumeRecord

_log = logging.getLogger(__name__)


def load(
    name: str,
    given: Mapping[str, Any],
    store: Store,
    settings: Settings,
    lock: BackendLock | None,
    progress: Listener | None,
) -> SnapshotAccessDriver:
    """See :func:`cinderlib.drivers.load`."""
    path = names.resolve(given.get("volume_driver", ""))
    group = options.new_group()
    with REGISTRY_LOCK:
        bootstrap.start(settings)  # again: other threads cannot change it while the lock is held
        bootstrap.start_locks()
        driver_class = import_class(path)
        # The attribute is missing on a class that creates the driver that its options choose.
        active_active = bool(getattr(driver_class, "SUPPORTS_ACTIVE_ACTIVE", False))
        if active_active:
            lock = None
        opts = options.declared(driver_class)
        plain, secret = options.take(
            group,
            name,
            {**given, "volume_driver": path, "volume_backend_name": name},
            opts,
            strict=settings.strict_options,
        )
        conf = options.Configuration(group, secret)
        host = plain.get("backend_host") or settings.host
        own = Scope(name, f"{host}@{name}", store, conf)
        scope.enter(own)
    try:
        _refuse_unsupported(driver_class, conf, name)
        _quiet_certificates(given, settings)
        context = translate.context(settings.user_id, settings.project_id)
        targets = replicating.targets(conf)
        active = _active(own) if targets else None
        with lock or contextlib.nullcontext():
            driver = _set_up(
                driver_class, conf, own, context, plain, secret, active,
                replicated=bool(targets), only_fails_over=settings.only_fails_over,
            )  # fmt: skip
    except BaseException:
        _release(own, group)
        raise
    able = abilities.of(driver)
    info = DriverInfo(
        driver=path,
        version=str(driver.get_version()),
        supported=bool(driver.supported),
        options=plain,
        secrets=secret,
        multipath=bool(conf.safe_get("use_multipath_for_image_xfer")),
        enforce_multipath=bool(conf.safe_get("enforce_multipath_for_image_xfer")),
        scan_attempts=int(conf.safe_get("num_volume_device_scan_tries") or 3),
        live_migration=bool(conf.safe_get("live_migration")),
        host_limited=bool(getattr(driver, "host_limited", False)),
        keeps_newer_snapshots=able.keeps_newer_snapshots,
        uses_name_id=able.uses_name_id,
        active_active=active_active,
        lacks=methods.lacks(driver),
        replication_targets=targets,
        active_backend_id=active,
    )
    return SnapshotAccessDriver(
        driver, own, info, context, lambda: _release(own, group), lock, progress
    )


def _active(own: Scope) -> str | None:
    """The replication device that a backend has failed over to, by the store."""
    record = in_key_values.find(own.store, ReplicationRecord, own.backend)
    return None if record is None else record.active_backend_id


def check(name: str, given: Mapping[str, Any], settings: Settings, *, keep: bool = False) -> Lacks:
    """See :func:`cinderlib.drivers.check`.

    :param keep: whether to keep the rules for the driver's options.
    """
    path = names.resolve(given.get("volume_driver", ""))
    group = options.new_group()
    with REGISTRY_LOCK:
        bootstrap.start(settings)
        driver_class = import_class(path)
        own = {**given, "volume_driver": path, "volume_backend_name": name}
        opts = options.declared(driver_class)
        _, secret = options.take(group, name, own, opts, strict=True)
        try:
            _check_options(driver_class, name, options.Configuration(group, secret))
        finally:
            options.clear(group)
    lacks = requirements.missing(driver_class)
    if keep:
        quick_rules.keep(given["volume_driver"], path, driver_class, opts, lacks)
    return lacks


def _check_options(driver_class: Any, name: str, conf: options.Configuration) -> None:
    """Let a driver check its options before its setup; Cinder's drivers have no method for it."""
    check = getattr(driver_class, "check_options", None)
    if check is None:
        return
    try:
        check(conf)
    except exception.CinderException as error:
        raise ConfigurationError(f"backend {name!r}: {error}") from error


def _release(own: Scope, group: str) -> None:
    loops.stop(own)
    scope.leave(own)
    with REGISTRY_LOCK:
        options.clear(group)


def import_class(path: str) -> Any:
    """The driver class with this full path.

    :raises ConfigurationError: the class does not exist.
    :raises MissingDependency: its module needs a package that is not installed or broken.
    :raises DriverError: the module itself is broken.
    """
    name, _, class_name = path.rpartition(".")
    try:
        module = importlib.import_module(name)
    except Exception as error:
        moved = _moved(path) if isinstance(error, ImportError) else None
        if moved is not None:
            return import_class(moved)
        raise _not_imported(path, error) from error
    try:
        driver_class = getattr(module, class_name)
    except AttributeError as error:
        raise ConfigurationError(
            f"module {name} does not contain a volume driver {class_name!r}", resource=path
        ) from error
    kinds = (volume_driver.BaseVD, volume_driver.ProxyVD)
    if not (isinstance(driver_class, type) and issubclass(driver_class, kinds)):
        raise ConfigurationError(f"{path} is not a Cinder volume driver", resource=path)
    _adapt()
    return driver_class


def _not_imported(path: str, error: Exception) -> CinderlibError:
    """The error for a driver whose module cannot be imported."""
    module = path.rpartition(".")[0]
    absent = error.name if isinstance(error, ImportError) else None
    if absent and (module == absent or module.startswith(f"{absent}.")):
        return ConfigurationError(f"volume driver {path} does not exist", resource=path)
    if isinstance(error, ModuleNotFoundError) and absent:
        package = requirements.to_install(absent)
        return MissingDependency(
            f"driver {path} needs the Python package {package!r}", resource=path
        )
    reason = f"{type(error).__name__}: {error}"
    package = _raising_package(error)
    if package in ("cinder", module.partition(".")[0]):
        return DriverError(f"cannot import driver {path}: {reason}", resource=path)
    return MissingDependency(
        f"cannot import driver {path}: the installed Python package {package!r} is broken or not"
        f" the required release of {requirements.to_install(absent or package)!r} ({reason})",
        resource=path,
    )


def _raising_package(error: Exception) -> str:
    """The top-level package in whose code an import failed."""
    if isinstance(error, ImportError) and error.name:  # the package that was imported
        return error.name.partition(".")[0]
    names = [
        frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    packages = [str(name).partition(".")[0] for name in names]
    return [each for each in packages if each not in sys.stdlib_module_names][-1]


def _adapt() -> None:
    """Replace the parts of the loaded modules that do not work without Cinder's services."""
    threads.adapt()
    loops.adapt()
    lookup.adapt()


def _moved(path: str) -> str | None:
    """The current path of a driver that Cinder has moved; None if it has not."""
    if not path.startswith("cinder."):
        return None
    mapping = importlib.import_module("cinder.volume.manager").MAPPING
    return str(mapping[path]) if path in mapping else None


def _refuse_unsupported(driver_class: Any, conf: Any, name: str) -> None:
    if getattr(driver_class, "SUPPORTED", True) or conf.safe_get("enable_unsupported_driver"):
        return
    raise ConfigurationError(
        f"backend {name!r}: Cinder marks {driver_class.__name__} as unsupported and may remove it; "
        "to use it anyway, set enable_unsupported_driver=True",
        resource=driver_class.__name__,
    )


def _quiet_certificates(given: Mapping[str, Any], settings: Settings) -> None:
    """urllib3 warns at every request without a certificate check. Warnings can only be filtered
    for the whole process, so they are filtered only if a backend disables the check."""
    checked = given.get("driver_ssl_cert_verify", True)
    if settings.suppress_requests_ssl_warnings and str(checked).lower() in ("false", "0", "no"):
        urllib3 = sys.modules.get("urllib3") or importlib.import_module("urllib3")
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)


def _set_up(
    driver_class: Any,
    conf: Any,
    own: Scope,
    context: Any,
    plain: Mapping[str, Any],
    secrets: Mapping[str, Any],
    active: str | None,
    *,
    replicated: bool,
    only_fails_over: bool,
) -> Any:
    """Create the driver and run its setup with the same steps as Cinder's volume manager.

    :param active: the ``backend_id`` of the replication device that the backend has failed over to.
    :param replicated: whether it has replication devices.
    :param only_fails_over: whether to return a driver with replication devices even if its storage
        fails during the setup. Cinder's manager also lets such a driver fail over.
    """
    driver = None
    with scope.Calling(own):
        try:
            with REGISTRY_LOCK:
                driver = driver_class(
                    configuration=conf,
                    host=own.host,
                    cluster_name=None,
                    is_vol_db_empty=not own.store.count(VolumeRecord, {"backend": own.backend}),
                    active_backend_id=active,
                )
                _adapt()
            _bind(driver, own)
            driver.do_setup(context)
            driver.check_for_setup_error()
            _adapt()  # the setup can import further modules
            _bind(driver, own)
            driver.init_capabilities()
            provider_info.complete(driver, own, context)
            driver.set_throttle()
            driver.set_initialized()
        except CinderlibError:
            raise
        except Exception as error:
            lacks = requirements.missing(driver_class)
            named = requirements.named_by(lacks, error).words
            if named:
                raise MissingDependency(
                    f"backend {own.backend!r} could not be set up: driver {driver_class.__name__} "
                    f"needs {', '.join(named)} on this host ({failures.text(error, secrets)})",
                    resource=own.backend,
                ) from error
            task = f"backend {own.backend!r} could not be set up"
            if lacks.words:
                task += f" (this host lacks {', '.join(lacks.words)}, which can be the cause)"
            if isinstance(error, exception.Invalid):  # an option is missing or has an invalid value
                raise ConfigurationError(
                    f"{task}: {failures.text(error, secrets)}", resource=own.backend
                ) from error
            explained = failures.explain(error, task, own.backend, plain, secrets)
            if replicated and driver is not None:
                if only_fails_over:
                    _log.warning("%s. The driver can only fail over", explained)
                    return driver
                to_do = f"If its storage is lost: `cinderlib backend failover {own.backend}`"
                explained = type(explained)(
                    f"{explained}. {to_do}", resource=own.backend, retryable=explained.retryable
                )
            raise explained from failures.harmless(error, secrets)
    return driver


def _bind(driver: Any, own: Scope) -> None:
    """Connect the driver and its target to the driver's own store, also for their threads."""
    database = Database(View(own))
    driver.db = database
    driver.driver_utils._db = database
    target = getattr(driver, "target_driver", None)
    if target is not None:
        target.db = database
