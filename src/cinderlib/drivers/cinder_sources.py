"""Where the sources of the installed Cinder are, without importing it, which takes a second."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from cinderlib.errors import MissingDependency


def folder() -> Path:
    """The folder of the package ``cinder``.

    :raises MissingDependency: Cinder is not installed.
    """
    spec = importlib.util.find_spec("cinder")
    if spec is None or not spec.origin:
        raise MissingDependency(
            "Cinder, which contains the volume drivers, is not installed: pip install cinder"
        )
    return Path(spec.origin).parent
