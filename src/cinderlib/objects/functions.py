"""The functions of the module that work on the default controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from cinderlib import serialization
from cinderlib.objects import default_controller


def json() -> list[dict[str, Any]]:
    """Documents of all loaded backends, without their volumes."""
    return [backend.json for backend in default_controller.controller().backends.values()]


def jsons() -> str:
    """:func:`json` as text."""
    backends = default_controller.controller().backends.values()
    return serialization.to_text([backend._document(related=False) for backend in backends])


def dump() -> list[dict[str, Any]]:
    """Documents of all loaded backends with all their volumes, **with their secrets**."""
    return [backend.dump for backend in default_controller.controller().backends.values()]


def dumps() -> str:
    """:func:`dump` as text."""
    backends = default_controller.controller().backends.values()
    return serialization.to_text([backend._document(related=True) for backend in backends])


def load(json_src: Any, save: bool = False, trusted: bool = False) -> Any:
    """The resources of a document; see :meth:`cinderlib.Controller.load`."""
    return default_controller.controller().load(json_src, save=save, trusted=trusted)


def list_supported_drivers(output_version: Literal[1, 2] = 1) -> dict[str, Any]:
    """All drivers; see :meth:`cinderlib.Backend.list_supported_drivers`."""
    from cinderlib import drivers

    return drivers.list_supported(output_version)


def get_connector_properties(
    root_helper: str | None,
    my_ip: str | None,
    multipath: bool,
    enforce_multipath: bool,
    host: str | None = None,
    execute: Callable[..., Any] | None = None,
) -> dict[str, Any]:
    """What a controller must know of this host to map volumes for it, for all protocols.

    :param root_helper: the command that runs another as root.
    :param my_ip: address of this host on the storage network.
    :param multipath: ask for all paths to a volume.
    :param enforce_multipath: fail when multipathd does not run.
    :param host: this host's name, by default what the system says.
    :param execute: taken for compatibility with os-brick's function and not used.
    """
    from cinderlib.node import Node

    node = Node(
        root_helper=root_helper or "sudo",
        my_ip=my_ip,
        multipath=multipath,
        enforce_multipath=enforce_multipath,
        host=host,
    )
    return node.connector_properties()
