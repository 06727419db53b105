"""The only room that imports cinder: it loads and lists drivers.

Importing it imports no part of Cinder; loading the first driver does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cinderlib.drivers.port import Driver, DriverInfo, Settings
from cinderlib.locking.backend_lock import BackendLock
from cinderlib.persistence.base import Store
from cinderlib.progress import Listener

if TYPE_CHECKING:
    from cinderlib.drivers.cinder_conf import CinderConf
    from cinderlib.drivers.requirements import Lacks

__all__ = [
    "Driver",
    "DriverInfo",
    "Settings",
    "check",
    "list_supported",
    "load",
    "prepare",
    "read_cinder_conf",
    "search",
    "short_names",
    "suggestion",
]


def prepare(settings: Settings) -> None:
    """Import Cinder and set its process-wide options; :func:`load` calls this too.

    :raises ConfigurationError: an option of ``settings.cinder_options`` is unknown or its value
        impossible, or this process runs with other process-wide values already.
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
) -> Driver:
    """Load a driver for one backend.

    :param name: the backend's; its records have it in ``backend``.
    :param options: the driver's options, and ``volume_driver``: the class's full path, its name,
        or a short name (see :func:`short_names`). Text is taken where a number or a boolean is
        meant, and ``$my_ip`` or ``${backend_defaults.volume_backend_name}`` stand for the value of
        that option, except within secrets. ``None`` means the default.
    :param store: what the driver's questions are answered from.
    :param lock: held around each call of a driver that is not made for several processes at once.
    :param progress: receives the progress of drivers that report it.
    :raises ConfigurationError: an option is unknown or its value impossible, there is no such
        driver, or Cinder does not support it any more.
    :raises MissingDependency: a package or command that the driver needs is not installed.
    :raises DriverError: the driver could not set itself up.
    """
    prepare(settings)
    from cinderlib.drivers import loading

    return loading.load(name, options, store, settings, lock, progress)


def check(name: str, options: Mapping[str, Any], *, settings: Settings) -> Lacks:
    """Check the options of a backend as :func:`load` does, without contacting the storage.

    :returns: what the driver needs and this host lacks.
    :raises ConfigurationError: an option is unknown or its value impossible, or there is no such
        driver; ``resource`` is the option's name where it is about one.
    :raises MissingDependency: the driver cannot be imported here.
    """
    prepare(settings)
    from cinderlib.drivers import loading

    return loading.check(name, options, settings)


def list_supported() -> dict[str, dict[str, Any]]:
    """All volume drivers, by class name, with their options and whether they can be loaded here.

    They are imported in another process, since all of them together take much memory.

    :raises MissingDependency: Cinder is not installed.
    """
    from cinderlib.drivers import catalog

    return catalog.in_child()


def read_cinder_conf(path: str | os.PathLike[str]) -> CinderConf:
    """The backends that a ``cinder.conf`` defines, with their options unchanged.

    :raises ConfigurationError: it cannot be read.
    """
    from cinderlib.drivers import cinder_conf

    return cinder_conf.read(path)


def short_names() -> dict[str, str]:
    """Short name of a driver -> full path of its class."""
    from cinderlib.drivers import names

    return dict(names.short_names())


def search(text: str) -> list[str]:
    """The full paths of the classes that a person can mean by vendor, product, protocol or name."""
    from cinderlib.drivers import names

    return names.search(text)


def suggestion(name: str) -> str:
    """What to use in place of a name that no driver has, as the end of a message."""
    from cinderlib.drivers import names

    return names.suggestion(name)
