"""The only room that imports cinder: it loads and lists drivers.

Importing it imports no part of Cinder; loading the first driver does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cinderlib.drivers.observed  # noqa: F401
    from cinderlib.drivers.cinder_conf import CinderConf
    from cinderlib.drivers.placement import Scheduler
    from cinderlib.drivers.port import Driver, Settings
    from cinderlib.drivers.port_values import DriverInfo, Lacks
    from cinderlib.locking.backend_lock import BackendLock
    from cinderlib.observation import Observer
    from cinderlib.persistence.base import Store
    from cinderlib.progress import Listener
else:
    from cinderlib import first_use

    __getattr__ = first_use.attributes(
        __name__, {"Driver": "port", "DriverInfo": "port_values", "Settings": "port"}
    )

__all__ = [
    "Driver",
    "DriverInfo",
    "Settings",
    "check",
    "essential_options",
    "list_supported",
    "load",
    "matches",
    "prepare",
    "product_of",
    "read_cinder_conf",
    "scheduler",
    "search",
    "short_names",
    "suggestion",
]


def prepare(settings: Settings) -> None:
    """Import Cinder and set its process-wide options; :func:`load` calls this too.

    :raises ConfigurationError: an option of ``settings.cinder_options`` is unknown or has an
        invalid value, or drivers are loaded with other process-wide values.
    """
    from cinderlib.drivers import bootstrap

    bootstrap.start(settings)


def load(
    name: str,
    options: Mapping[str, Any],
    *,
    store: Store,
    settings: Settings,
    lock: BackendLock | None = None,
    progress: Listener | None = None,
    observer: Observer | None = None,
) -> Driver:
    """Load a driver for one backend.

    :param name: name of the backend, as in the ``backend`` field of records.
    :param options: the driver's options, and ``volume_driver``: the class's full path, its name,
        or a short name (see :func:`short_names`). Numbers and booleans can be given as text.
        ``$my_ip`` and ``${backend_defaults.volume_backend_name}`` refer to the value of that
        option, except in secrets. ``None`` means the default.
    :param store: holds the records that the driver reads.
    :param lock: held during each call of a driver that does not support concurrent processes.
    :param progress: receives the progress of drivers that report it.
    :param observer: receives the calls of the driver, and the starts of the process.
    :raises ConfigurationError: an option is unknown or has an invalid value, the driver does not
        exist, or Cinder does not support it any more.
    :raises MissingDependency: a package or command that the driver needs is not installed.
    :raises DriverError: the setup of the driver failed.
    """
    from cinderlib.drivers import observed
    from cinderlib.drivers.isolation import limits

    if limits.of(name, options).isolation == "process":
        from cinderlib.drivers.isolation.driver import IsolatedDriver

        isolated = IsolatedDriver(name, options, store, settings, lock, progress, observer)
        return observed.driver(isolated, name, observer)
    prepare(settings)
    from cinderlib.drivers import loading

    local = loading.load(name, options, store, settings, lock, progress)
    return observed.driver(local, name, observer)


def check(name: str, options: Mapping[str, Any], *, settings: Settings) -> Lacks:
    """Check the options of a backend as :func:`load` does, without contacting the storage.

    :returns: the driver's requirements that are missing on this host.
    :raises ConfigurationError: an option is unknown or has an invalid value, or the driver does
        not exist; ``resource`` is the name of the option, if the error concerns one.
    :raises MissingDependency: the driver cannot be imported on this host.
    """
    from cinderlib.drivers.isolation import limits

    if limits.of(name, options).python is not None:
        from cinderlib.drivers.isolation import checking

        return checking.check(name, options, settings)
    from cinderlib.drivers import quick_check

    is_useful = quick_check.is_useful(settings)
    accepted = quick_check.accepted(options) if is_useful else None
    if accepted is not None:
        return accepted
    prepare(settings)
    from cinderlib.drivers import loading

    return loading.check(name, options, settings, keep=is_useful)


def scheduler(settings: Settings) -> Scheduler:
    """Places volumes by the rules of Cinder's scheduler; see :mod:`.placement`."""
    prepare(settings)
    from cinderlib.drivers.placement import Scheduler

    return Scheduler()


def list_supported(*, options: bool = True) -> dict[str, dict[str, Any]]:
    """All volume drivers, by class name, with their options and their state on this host.

    A child process imports them, because all of them together need much memory. The result is kept
    for later processes, until packages or commands of this host change.

    :param options: whether to include ``driver_options``.
    :raises MissingDependency: Cinder is not installed.
    """
    from cinderlib.drivers import catalog

    return catalog.listing(options=options)


def read_cinder_conf(path: str | os.PathLike[str]) -> CinderConf:
    """The backends that a ``cinder.conf`` defines, with their options unchanged.

    :raises ConfigurationError: the file cannot be read.
    """
    from cinderlib.drivers import cinder_conf

    return cinder_conf.read(path)


def matches(path: str, text: str) -> bool:
    """Whether a driver matches a vendor, product, protocol or name.

    :param path: full path of the driver's class.
    """
    from cinderlib.drivers import families

    return families.match(path, text)


def short_names() -> dict[str, str]:
    """Short name -> full path of the driver's class."""
    from cinderlib.drivers import names

    return dict(names.short_names())


def essential_options(path: str) -> dict[str, str]:
    """The options that a configuration of a driver nearly always contains: name -> proposed value,
    or an empty text.

    :param path: full path of the driver's class.
    """
    from cinderlib.drivers import essentials

    return essentials.of(path)


def product_of(path: str) -> str | None:
    """The vendor and product of a driver; ``None`` if they are not known.

    :param path: full path of the driver's class.
    """
    from cinderlib.drivers import families

    family = families.of(path)
    return f"{family.vendor} {family.product}" if family else None


def search(text: str) -> list[str]:
    """The full paths of the drivers that match a vendor, product, protocol or name."""
    from cinderlib.drivers import names

    return names.search(text)


def suggestion(name: str) -> str:
    """The end of an error message about an unknown driver: the drivers with similar names."""
    from cinderlib.drivers import names

    return names.suggestion(name)
