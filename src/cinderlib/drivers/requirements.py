"""What a driver needs on this host besides Cinder: Python packages and commands."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Importable name -> what to install, where the names differ.
_INSTALL = {
    "OpenSSL": "pyOpenSSL",
    "alletramp_service": "hpe-storage-flowkit-py",
    "capacity": "infinisdk",
    "dfs_sdk": "dfs-sdk",
    "hpe3parclient": "python-3parclient",
    "hpe_storage_flowkit_py": "hpe-storage-flowkit-py",
    "infi": "infinisdk",
    "linstor": "python-linstor",
    "pypureclient": "py-pure-client",
    "rados": "rados (the system's python3-rados)",
    "rbd": "rbd (the system's python3-rbd)",
    "rbd_iscsi_client": "rbd-iscsi-client",
    "rsd_lib": "rsd-lib",
    "websocket": "websocket-client",
}
#: Commands that drivers run on this host and cannot work without, by module.
_COMMANDS = {
    "cinder.volume.drivers.lvm": ("vgs", "lvs", "lvcreate", "qemu-img"),
    "cinder.volume.drivers.nfs": ("mount.nfs", "qemu-img", "du"),
    "cinder.volume.drivers.quobyte": ("mount.quobyte", "qemu-img"),
    "cinder.volume.drivers.vzstorage": ("ploop", "qemu-img"),
    "cinder.volume.drivers.ibm.gpfs": ("mmlsconfig", "mmcrsnapshot"),
    "cinder.volume.drivers.netapp.dataontap.nfs_cmode": ("mount.nfs", "qemu-img"),
    "cinder.volume.drivers.nexenta.nfs": ("mount.nfs",),
    "cinder.volume.drivers.nexenta.ns5.nfs": ("mount.nfs",),
    "cinder.volume.drivers.vmstore.nfs": ("mount.nfs",),
    "cinder.volume.drivers.dell_emc.powerstore.nfs": ("mount.nfs",),
}

_TRY_IMPORT = re.compile(r"""\btry_import\(\s*['"](\w+)""")
_IMPORT = re.compile(r"[ \t]*(?:import|from)[ \t]+(\w+)")
_TRY = re.compile(r"([ \t]*)try:")
_EXCEPT = re.compile(r"([ \t]*)except \(?(?:ImportError|ModuleNotFoundError)\b")


@dataclasses.dataclass(frozen=True, slots=True)
class Lacks:
    """What a driver needs and this host has not.

    :ivar packages: of Python, as pip or the distribution calls them.
    :ivar commands: programs.
    """

    packages: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """Each in words for a person."""
        packages = [f"Python package {name}" for name in self.packages]
        return packages + [f"command {name}" for name in self.commands]


def missing(driver_class: Any) -> Lacks:
    """What the driver needs and this host lacks."""
    absent = {
        _INSTALL.get(name, name) for name in optional_imports(driver_class) if not _importable(name)
    }
    commands = _COMMANDS.get(driver_class.__module__, ())
    return Lacks(
        packages=tuple(sorted(absent)),
        commands=tuple(name for name in commands if shutil.which(name) is None),
    )


def optional_imports(driver_class: Any) -> set[str]:
    """Packages that the driver's modules import if they are there."""
    found: set[str] = set()
    for module in _modules(driver_class):
        found |= _optional_imports(module)
    return found


def _modules(driver_class: Any) -> Iterator[str]:
    """The driver's own modules: those of its class and bases, and what they import beside them."""
    prefix = "cinder.volume.drivers."
    todo = [c.__module__ for c in driver_class.__mro__ if c.__module__.startswith(prefix)]
    done: set[str] = set()
    while todo:
        name = todo.pop()
        if name in done or name not in sys.modules:
            continue
        done.add(name)
        yield name
        family = name.removeprefix(prefix).split(".")
        if len(family) == 1:
            continue  # a driver of one module
        vendor = prefix + ".".join(family[:-1])
        todo += [
            value.__name__ if hasattr(value, "__path__") or hasattr(value, "__spec__") else
            getattr(value, "__module__", "")
            for value in vars(sys.modules[name]).values()
            if str(getattr(value, "__name__", "")).startswith(vendor)
            or str(getattr(value, "__module__", "")).startswith(vendor)
        ]  # fmt: skip


@functools.cache
def _optional_imports(module: str) -> frozenset[str]:
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        return frozenset()
    source = Path(spec.origin).read_text(encoding="utf-8")
    found = set(_TRY_IMPORT.findall(source))
    tried: dict[str, set[str]] = {}  # indentation -> what the latest "try" there imports
    for line in source.splitlines():
        if begun := _TRY.match(line):
            tried[begun[1]] = set()
        elif imported := _IMPORT.match(line):
            for names in tried.values():
                names.add(imported[1])
        elif caught := _EXCEPT.match(line):
            found |= tried.pop(caught[1], set())
        elif line and not line[0].isspace():
            tried.clear()
    return frozenset(found - set(sys.stdlib_module_names) - {"cinder", "os_brick"})


def _importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
