"""The module's functions that use the default controller."""

from __future__ import annotations

from typing import Any, Literal

from cinderlib import operations, serialization, value_checks
from cinderlib.objects import default_controller
from cinderlib.objects.documents_in import Loaded, Source


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


def load(json_src: Source, save: bool = False, trusted: bool = False) -> Loaded | list[Loaded]:
    """The resources of a document; see :meth:`cinderlib.Controller.load`."""
    return default_controller.controller().load(json_src, save=save, trusted=trusted)


#: The attributes of drivers and options in versions 1 and 2, as in cinderlib 5.
_DRIVER = ("class_fqn", "class_name", "ci_wiki_name", "desc", "supported", "version")
_OPTION = (
    "name", "type", "dest", "short", "default", "sample_default", "positional", "metavar", "help",
    "secret", "required", "deprecated_for_removal", "deprecated_reason", "deprecated_since",
    "deprecated_opts", "mutable", "advanced",
)  # fmt: skip


def list_supported_drivers(output_version: Literal[1, 2, 3] = 1) -> dict[str, Any]:
    """The drivers of the installed Cinder and of this library, by class name, with their options.

    They are imported in another process, because all of them together need much memory.

    :param output_version: 1 is cinderlib 5's first format: the attributes of options are texts. 2
        is its second format: they have their types. 3 adds ``name``, ``short_name``, ``vendor``,
        ``product``, ``state`` and ``missing`` (requirements of the driver that this host lacks),
        and ``choices``, ``min`` and ``max`` to the options. ``capabilities`` has the way of each
        operation, as in :meth:`Backend.capabilities`, as far as the driver's class determines it;
        it is empty if the class cannot be imported on this host.
    :raises InvalidInput: the version does not exist.
    :raises MissingDependency: Cinder is not installed.
    """
    from cinderlib import drivers

    value_checks.check_whole_number(output_version, "output_version", least=1, most=3)
    found = drivers.list_supported()
    if output_version == 3:
        return {
            name: {**entry, "capabilities": operations.capabilities.ways(entry.pop("lacks"))}
            for name, entry in found.items()
        }
    return {name: _as_before(entry, output_version == 1) for name, entry in found.items()}


def _as_before(driver: dict[str, Any], as_text: bool) -> dict[str, Any]:
    options = [{name: option[name] for name in _OPTION} for option in driver["driver_options"]]
    if as_text:
        options = [
            {name: str(value) for name, value in option.items()}
            | {"type": option["type"]["type_class"]}
            for option in options
        ]
    return {**{name: driver.get(name) for name in _DRIVER}, "driver_options": options}
