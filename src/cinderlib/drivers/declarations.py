"""Declares options that drivers read and that Cinder declares in modules which are not loaded here.

Loading the volume manager for its few options takes 0.2 s and 16 MB, and the database module must
not be loaded at all. Some drivers load the manager later. Because oslo.config accepts a repeated
declaration only if it is identical, the declarations are read from Cinder's source.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import Any

from oslo_config import cfg

from cinderlib.drivers import cinder_sources
from cinderlib.drivers.isolation import limits
from cinderlib.errors import MissingDependency

_SHARED = "backend_defaults"
#: File of Cinder, name of a list of options in it, group of the options.
_LISTS = (
    ("volume/manager.py", "volume_manager_opts", None),
    ("volume/manager.py", "volume_backend_opts", _SHARED),
    ("db/api.py", "db_opts", None),
    ("db/api.py", "backup_opts", None),
)
#: Options that a driver reads without declaring them, by class.
_UNDECLARED = {
    "cinder.volume.drivers.rbd.RBDDriver": [
        cfg.StrOpt(
            "rbd_keyring_conf",
            default="",
            help="Path of the keyring file of rbd_user. The node needs its content to attach.",
        )
    ]
}
#: Declared by Cinder's command cinder-volume, which is not loaded here.
_BACKEND_HOST = cfg.StrOpt(
    "backend_host",
    help="The name before the @ in the host of this backend's volumes, instead of the"
    " controller's.",
)
#: This library's own options of a backend.
OWN = [
    cfg.BoolOpt(
        "live_migration",
        default=False,
        help=(
            "Connect volumes that are not multiattach to a second host during a live migration. For"
            " programs that specify neither an instance nor a migration; see the page about"
            " several hosts."
        ),
    ),
    cfg.StrOpt(
        "isolation",
        default="none",
        choices=("none", "process"),
        help="Run the driver in the program's process (none), or in a separate one (process).",
    ),
    cfg.FloatOpt(
        "call_timeout",
        default=limits.CALL_TIMEOUT,
        help="Seconds after which a call of an isolated driver without a result or a report of"
        " progress is given up, and the driver's process is ended.",
    ),
    cfg.IntOpt(
        "memory_limit",
        min=limits.LEAST_MEMORY,
        help="Memory of an isolated driver's process, and of each process that it starts, in MiB.",
    ),
    cfg.IntOpt(
        "cpu_limit",
        min=1,
        help="Number of processors that an isolated driver and its processes may use.",
    ),
    cfg.StrOpt(
        "python",
        help="Path of the Python interpreter that runs an isolated driver, for one that needs"
        " other versions of packages. Its environment has the same version of cinderlib.",
    ),
]


def declare() -> None:
    """Declare these options. A repeated call has no effect.

    :raises MissingDependency: this release of Cinder is not supported.
    """
    cfg.CONF.register_opt(_BACKEND_HOST, group=_SHARED)
    cfg.CONF.register_opts(OWN, group=_SHARED)
    for opts in _UNDECLARED.values():
        cfg.CONF.register_opts(opts, group=_SHARED)
    for file, name, group in _LISTS:
        cfg.CONF.register_opts(_options(file, name), group=group)


def shared() -> list[Any]:
    """The options that all backends have."""
    listed = [opt for file, name, group in _LISTS if group for opt in _options(file, name)]
    return [_BACKEND_HOST, *listed]


def undeclared(driver_class: Any) -> list[Any]:
    """The options that a driver reads without declaring them."""
    classes = [f"{each.__module__}.{each.__qualname__}" for each in inspect.getmro(driver_class)]
    return [opt for name in classes for opt in _UNDECLARED.get(name, ())]


@functools.cache
def _options(file: str, name: str) -> list[Any]:
    source = (cinder_sources.folder() / file).read_text(encoding="utf-8")
    found = re.search(rf"^{name} = (\[.*?^\])", source, re.MULTILINE | re.DOTALL)
    if found is None:
        raise MissingDependency(
            f"the installed release of Cinder is not supported: it has no {name} in {file}. Install"
            " Cinder 28 or 29"
        )
    options: list[Any] = eval(found[1], {"cfg": cfg})  # noqa: S307 - Cinder's own declaration
    return options
