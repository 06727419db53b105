"""Imports the whole command, so that forked processes do not need to import it."""

from __future__ import annotations

import importlib
import pkgutil

_MODULES = (
    "cinderlib.cli.configuration",
    "cinderlib.cli.exits",
    "cinderlib.cli.find",
    "cinderlib.cli.output",
    "cinderlib.cli.served",
    "cinderlib.cli.waiting",
    "cinderlib.client.controller",
    "cinderlib.node.node",
    "cinderlib.node.properties",
)


def preload() -> None:
    """Import the nouns and the modules that they import at their first use."""
    from cinderlib.cli import nouns

    for noun in pkgutil.iter_modules(nouns.__path__, f"{nouns.__name__}."):
        importlib.import_module(noun.name)
    for name in _MODULES:
        importlib.import_module(name)
