"""Where Cinder declares an option: most are declared by importing the module that uses them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

#: Drivers declare their options when they are loaded; the modules of Cinder's commands patch the
#: process with eventlet, and what they declare is for those commands.
_NOT_IMPORTED = ("cinder.volume.drivers.", "cinder.cmd.")

_log = logging.getLogger(__name__)


def declare(option: str) -> list[ModuleType]:
    """Import the modules of Cinder that declare an option, other than those of drivers.

    :returns: the modules.

    Which modules declare options is what ``cinder.opts``, from which Cinder's sample configuration
    is made, imports. Of these, only those whose source declares this option are imported here: a
    module that merely has the word in its text may be one that patches the whole process.
    """
    found = []
    for module, path in _modules():
        if not _declares(path.read_text(encoding="utf-8"), option):
            continue
        try:
            found.append(importlib.import_module(module))
        except Exception as error:  # whatever the packages that it imports raise
            _log.debug("%s declares %r and cannot be imported: %s", module, option, error)
    return found


def _declares(source: str, option: str) -> bool:
    """Whether a source has a call such as ``cfg.StrOpt('option', ...)``."""
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
