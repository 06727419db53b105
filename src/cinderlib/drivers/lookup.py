"""Finds the configuration of a backend by name, for drivers that request it.

In Cinder, they read a section of the configuration file. Here the loaded backends replace the
sections. NetApp's drivers read their own section, and for replication those of other backends.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from cinder import exception

from cinderlib.drivers.scope import View

_CALLERS = (
    "cinder.volume.volume_utils",
    "cinder.volume.drivers.netapp.dataontap.utils.utils",
)


def backend_configuration(backend_name: str, backend_opts: Sequence[Any] | None = None) -> Any:
    """The configuration of a backend that the calling driver can access."""
    scopes = View().scopes()
    found = [each for each in scopes if each.backend == backend_name]
    if not found:
        own = {id(each.store) for each in scopes}
        found = [
            each for each in View.loaded()
            if each.backend == backend_name and id(each.store) in own
        ]  # fmt: skip
    if not found:
        raise exception.ConfigNotFound(
            f"the driver requires the options of backend {backend_name!r}, which is not loaded:"
            " load it first"
        )
    configuration = found[0].configuration
    if backend_opts:
        configuration.append_config_values(backend_opts)
    return configuration


def adapt() -> None:
    """Replace Cinder's function in the loaded modules that call it. A repeated call has no
    effect."""
    for name in _CALLERS:
        module: Any = sys.modules.get(name)
        if module is not None and hasattr(module, "get_backend_configuration"):
            module.get_backend_configuration = backend_configuration
