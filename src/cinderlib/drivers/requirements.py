"""Finds missing requirements of a driver on this host: Python packages and commands."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cinderlib.drivers import modules
from cinderlib.drivers.port_values import Lacks

#: Importable name -> package to install, if the names differ.
_INSTALL = {
    "OpenSSL": "pyOpenSSL",
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
#: Module that only some releases of a package contain -> requirement to install.
_RELEASES = {"storops.lib": "storops<1.2.6"}
#: Commands that drivers require on this host, by module or class.
_COMMANDS = {
    "cinder.volume.drivers.lvm": ("vgs", "lvs", "lvcreate", "qemu-img"),
    "cinder.volume.drivers.nfs": ("mount.nfs", "qemu-img", "du"),
    "cinder.volume.drivers.quobyte": ("mount.quobyte", "qemu-img"),
    "cinder.volume.drivers.vzstorage": ("ploop", "qemu-img"),
    # The family's other drivers run these commands over SSH, on hosts of the file system.
    "cinder.volume.drivers.ibm.gpfs.GPFSDriver": ("mmlsconfig", "mmcrsnapshot"),
    "cinder.volume.drivers.netapp.dataontap.nfs_cmode": ("mount.nfs", "qemu-img"),
    "cinder.volume.drivers.nexenta.nfs": ("mount.nfs",),
    "cinder.volume.drivers.nexenta.ns5.nfs": ("mount.nfs",),
    "cinder.volume.drivers.vmstore.nfs": ("mount.nfs",),
    "cinder.volume.drivers.dell_emc.powerstore.nfs": ("mount.nfs",),
}
#: Part of the error if a driver uses a module whose import failed.
_USED_NONE = "'NoneType' object"


def named_by(lacks: Lacks, error: BaseException) -> Lacks:
    """The missing requirements that the texts of an error and its causes mention."""
    text = "\n".join(_texts(error))
    return Lacks(
        packages=tuple(
            name
            for name in lacks.packages
            if _USED_NONE in text or _names(text, name.split()[0]) or _imports(text, name)
        ),
        commands=tuple(name for name in lacks.commands if _names(text, name)),
    )


def missing(driver_class: Any) -> Lacks:
    """The driver's requirements that are missing on this host."""
    absent = {
        _INSTALL.get(name, name) for name in optional_imports(driver_class) if not importable(name)
    }
    module = driver_class.__module__
    path = f"{module}.{driver_class.__name__}"
    commands = (*_COMMANDS.get(module, ()), *_COMMANDS.get(path, ()))
    return Lacks(
        packages=tuple(sorted(absent)),
        commands=tuple(name for name in commands if shutil.which(name) is None),
    )


def optional_imports(driver_class: Any) -> set[str]:
    """Packages that the driver's modules import if they are installed."""
    found: set[str] = set()
    for module in modules.of(driver_class):
        if module.__file__:
            found |= _optional_imports(module.__file__)
    return found


def to_install(module: str) -> str:
    """The package to install for a module that cannot be found."""
    package = module.partition(".")[0]
    return _RELEASES.get(module) or _INSTALL.get(package, package)


def importable(name: str) -> bool:
    """Whether a top-level package is installed."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


@functools.cache
def _optional_imports(file: str) -> frozenset[str]:
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    found = set(_imported(tree.body, optional=False))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and "try_import" in ast.unparse(node.func):
            found |= {_text(argument).partition(".")[0] for argument in node.args[:1]}
    return frozenset(found - set(sys.stdlib_module_names) - {"", "cinder", "os_brick"})


def _imported(statements: list[ast.stmt], *, optional: bool) -> Iterator[str]:
    """The packages that are imported within ``try`` ... ``except ImportError``, but not those that
    the handler imports instead."""
    for node in statements:
        if isinstance(node, ast.Try):
            caught = " ".join(ast.unparse(handler) for handler in node.handlers)
            is_optional = re.search(r"\b(ImportError|ModuleNotFoundError)\b", caught) is not None
            yield from _imported(node.body, optional=optional or is_optional)
        elif optional and isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif optional and isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _text(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _texts(error: BaseException) -> Iterator[str]:
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield f"{cause} {getattr(cause, 'cmd', '')}"
        cause = cause.__cause__ or cause.__context__


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _imports(text: str, package: str) -> bool:
    names = [module for module, install in _INSTALL.items() if install == package]
    return any(_names(text, name) for name in names)
