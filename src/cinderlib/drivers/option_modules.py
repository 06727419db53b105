"""Finds the modules of Cinder that declare an option: most modules declare the options that they
use when they are imported."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

#: Drivers declare their options when they are loaded. The modules of Cinder's commands patch the
#: process with eventlet, and only the commands use their options.
_NOT_IMPORTED = ("cinder.volume.drivers.", "cinder.cmd.")

_log = logging.getLogger(__name__)


def declare(option: str) -> list[ModuleType]:
    """Import the modules of Cinder that declare an option, except drivers.

    The candidates are the modules that ``cinder.opts`` imports for Cinder's sample configuration.
    Only modules whose source declares the option are imported, because others could patch the
    whole process.

    :returns: the modules.
    """
    found = []
    for module, path in _modules():
        if not _declares(path.read_text(encoding="utf-8"), option):
            continue
        try:
            found.append(importlib.import_module(module))
        except Exception as error:  # the packages that it imports can raise any error
            _log.debug("Cannot import %s, which declares %r: %s", module, option, error)
    return found


def _declares(source: str, option: str) -> bool:
    """Whether a source contains a call like ``cfg.StrOpt('option', ...)``."""
    names = {option, option.replace("_", "-")}
    if not any(f"'{name}'" in source or f'"{name}"' in source for name in names):
        return False
    return any(
        isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("Opt")
        and any(isinstance(arg, ast.Constant) and arg.value in names for arg in node.args[:1])
        for node in ast.walk(ast.parse(source))
    )


def _modules() -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec("cinder.opts")
    if spec is None or spec.origin is None:
        return
    package = Path(spec.origin).parent
    for node in ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cinder"):
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                path = package.parent / (module.replace(".", "/") + ".py")
                if not module.startswith(_NOT_IMPORTED) and path.is_file():
                    yield module, path
