"""Initializes Cinder's code in this process, once and in the required order.

As in Cinder, some settings are process-wide: the folders for state and locks, the root helper and
the options that do not belong to a backend. Everything else is per driver.
"""

from __future__ import annotations

import _thread
import contextlib
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cinderlib.drivers.port import Settings
from cinderlib.drivers.registry_lock import REGISTRY_LOCK
from cinderlib.errors import ConfigurationError
from cinderlib.locking import state_folder

_log = logging.getLogger(__name__)

_started: dict[str, Any] | None = None
_applied: list[Any] = []


def start(settings: Settings) -> None:
    """Import Cinder and set its process-wide options. A repeated call with the same values has no
    effect. Other values are accepted only while no driver is loaded.

    :raises ConfigurationError: an option of Cinder is unknown or has an invalid value, or drivers
        are loaded with other process-wide values.
    """
    global _started
    with REGISTRY_LOCK:
        wanted = {
            "state_path": settings.state_path,
            "file_locks_path": settings.lock_path,
            "root_helper": settings.root_helper,
            **settings.cinder_options,
        }
        if wanted == _started:
            return
        if _started is None:
            _import()
        else:
            _refuse_while_loaded(_started, wanted)
        _configure(settings)
        _started = wanted


def _refuse_while_loaded(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    from cinderlib.drivers import scope

    loaded = scope.loaded()
    if not loaded:
        return
    differing = sorted(n for n in {*current, *wanted} if current.get(n) != wanted.get(n))
    has = ", ".join(f"{name}={_shown(name, current.get(name))}" for name in differing)
    requested = ", ".join(f"{name}={_shown(name, wanted.get(name))}" for name in differing)
    raise ConfigurationError(
        f"backends {', '.join(map(repr, loaded))} are loaded with {has}. Cinder has one value for "
        f"the whole process: to use {requested}, close them first or start another process"
    )


def preload() -> None:
    """Import Cinder without setting an option, for a process that does so later.

    :raises ConfigurationError: the program's options do not fit together with Cinder's.
    """
    with REGISTRY_LOCK:
        _import()
    from tooz import coordination

    # Finds the package for the locks between drivers, among those of the whole environment.
    coordination.get_coordinator("file:///", b"")


def _import() -> None:
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"  # Cinder sets it too, later
    sleep = time.sleep
    try:
        import_eventlet()
        _choose_threads()
        from cinderlib.drivers import declarations, privileges, seam

        privileges.replace_helpers()
        seam.install()
        _import_cinder()
    finally:
        time.sleep = sleep  # os-brick replaces it with a wrapper for its own tests
    declarations.declare()


def import_eventlet() -> None:
    """Import eventlet, as Cinder does, without its deprecation warning, which users cannot fix.

    Eventlet executes the module ``threading`` a second time. In Python 3.11 and 3.12 this replaces
    the lock that shows the end of the importing thread, so ``join()`` of that thread and the end
    of the process would never return. Nobody waits for the thread that imports it here.
    """
    if threading.current_thread() is threading.main_thread() or "eventlet" in sys.modules:
        _import_eventlet()
        return
    failures: list[BaseException] = []
    finished = threading.Event()

    def run() -> None:
        try:
            _import_eventlet()
        except BaseException as exc:
            failures.append(exc)
        finally:
            finished.set()

    _thread.start_new_thread(run, ())
    finished.wait()
    if failures:
        raise failures[0]


def _import_eventlet() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import eventlet  # noqa: F401


def _choose_threads() -> None:
    """Choose native threads, unless the program uses eventlet or has already chosen a backend."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        return
    from oslo_service import backend

    if backend.get_backend_type() is None:
        try:
            backend.init_backend(backend.BackendType.THREADING)
        except (ImportError, ValueError) as error:
            # Cinder 28 does not install its dependencies. Drivers only use looping calls of
            # oslo.service, which work in native threads with its eventlet backend too.
            _log.debug("oslo.service has no native threads here: %s", error)


def _import_cinder() -> None:
    from oslo_config import cfg

    try:
        from cinder import objects

        objects.register_all()
        import cinder.common.config
        import cinder.volume.driver  # noqa: F401
    except cfg.Error as error:
        raise ConfigurationError(
            "the options that this program registered in oslo.config's global CONF conflict with"
            f" Cinder's: {error}"
        ) from error


def _configure(settings: Settings) -> None:
    from cinder import coordination
    from oslo_config import cfg

    from cinderlib.drivers import options, privileges

    conf = cfg.CONF
    if conf._namespace is None:  # unless the program has read its own configuration into it
        conf(
            [],
            project="cinder",
            default_config_files=[],
            default_config_dirs=[],
            use_env=False,
        )
    checked = options.process_wide(settings.cinder_options, strict=settings.strict_options)
    options.withdraw(_applied)
    conf.set_default("state_path", settings.state_path)
    conf.set_default("host", settings.host)
    conf.set_default("lock_path", settings.lock_path, group="oslo_concurrency")
    # Programs that only attach use the same folder.
    brick_locks = state_folder.host_locks(Path(settings.lock_path))
    conf.set_default("lock_path", str(brick_locks), group="os_brick")
    conf.set_default("backend_url", f"file://{settings.lock_path}", group="coordination")
    options.apply(checked)
    _applied[:] = checked
    privileges.use(settings.root_helper)
    coordination.COORDINATOR.stop()


def start_locks() -> None:
    """Start the coordinator of the locks between drivers, which creates the lock files, and
    create the folder of os-brick's locks."""
    from cinder import coordination
    from oslo_config import cfg

    # os-brick would create it for all users.
    with contextlib.suppress(OSError):
        state_folder.make(Path(cfg.CONF.os_brick.lock_path))
    if not coordination.COORDINATOR.started:
        coordination.COORDINATOR.start()


def _shown(name: str, value: Any) -> str:
    from cinderlib.drivers import options

    if isinstance(value, Mapping):  # the options of a group, which can include secrets
        return f"{{{', '.join(sorted(value))}}}"
    return "***" if options.is_secret(name) else repr(value)
