"""Where Cinder declares an option: most are declared by importing the module that uses them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)


def declare(option: str) -> None:
    """Import the modules of Cinder that declare an option, other than those of drivers.

    Which modules declare options is what ``cinder.opts``, from which Cinder's sample configuration
    is made, imports; only those that have the option's name in their text are imported here.
    """
    for module, path in _modules():
        text = path.read_text(encoding="utf-8")
        if f"'{option}'" in text or f'"{option}"' in text:
            try:
                importlib.import_module(module)
            except ImportError as error:
                _log.debug("%s declares %r and cannot be imported: %s", module, option, error)


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
                if not module.startswith("cinder.volume.drivers.") and path.is_file():
                    yield module, path
