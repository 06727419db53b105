"""Finds a backend's configuration by name, as some drivers request it.

They read a section of a configuration file. Here the loaded backends replace the sections.
NetApp's drivers ask for their own; those that replicate, for others'.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from cinder import exception

from cinderlib.drivers.scope import View

_ASKED_IN = (
    "cinder.volume.volume_utils",
    "cinder.volume.drivers.netapp.dataontap.utils.utils",
)


def backend_configuration(backend_name: str, backend_opts: Sequence[Any] | None = None) -> Any:
    """The configuration of a backend that the caller can see."""
    scopes = View().scopes()
    found = [each for each in scopes if each.backend == backend_name]
    if not found:
        own = {id(each.store) for each in scopes}
        found = [
            each for each in View.loaded()
            if each.backend == backend_name and id(each.store) in own
        ]  # fmt: skip
    if not found:
        raise exception.ConfigNotFound(f"backend {backend_name!r} is not loaded")
    configuration = found[0].configuration
    if backend_opts:
        configuration.append_config_values(backend_opts)
    return configuration


def adapt() -> None:
    """Answer the modules that ask and are loaded by now; again, do nothing."""
    for name in _ASKED_IN:
        module: Any = sys.modules.get(name)
        if module is not None and hasattr(module, "get_backend_configuration"):
            module.get_backend_configuration = backend_configuration
