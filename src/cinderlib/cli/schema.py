"""The tables and keys of ``cinderlib.toml``, and the errors in a file that can be found without
Cinder."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

import msgspec

from cinderlib import urls
from cinderlib.cli.tomlfile import TomlFile
from cinderlib.errors import ConfigurationError

_REFERENCES = ("env", "file")

#: Keys of [store]; at least one is required.
_STORE = ("connection", "storage", "encryption_keys")


class ControllerTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[controller]``: arguments of :class:`cinderlib.Controller`."""

    host: str | None = None
    state_path: str | None = None
    file_locks_path: str | None = None
    root_helper: str | None = None
    project_id: str | None = None
    user_id: str | None = None
    non_uuid_ids: bool | None = None
    output_all_backend_info: bool | None = None
    suppress_requests_ssl_warnings: bool | None = None
    strict_options: bool | None = None
    lock_url: str | None = None
    lock_timeout: float | None = None
    recover: bool | None = None
    history_limit: int | None = None


class NodeTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[node]``: arguments of :class:`cinderlib.Node`, and of :class:`cinderlib.NodeClient` for
    the service on another host."""

    host: str | None = None
    my_ip: str | None = None
    root_helper: str | None = None
    multipath: bool | None = None
    enforce_multipath: bool | None = None
    service: str | None = None
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None


class VolumeKeysTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[volume_keys]``: the places for the keys of encrypted volumes."""

    manager: Literal["store", "file", "castellan"] | None = None
    folder: str | None = None
    castellan_config: str | None = None


class ServiceTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[service]``: addresses and access; see :class:`cinderlib.service.options.Options`."""

    socket: str | None = None
    mode: str | None = None
    group: str | None = None
    role: Literal["read", "node", "operate", "administer"] | None = None
    listen: str | None = None
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None
    clients: dict[str, Literal["read", "node", "operate", "administer"]] | None = None
    idle_timeout: float | None = None
    stop_timeout: float | None = None
    threads: int | None = None
    links: str | None = None
    stats_interval: float | None = None
    log: Literal["auto", "text", "json", "journal"] | None = None
    traces: bool | None = None


class CSITable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[csi]``: the CSI plug-in; see :class:`cinderlib.csi.settings.Settings`."""

    name: str | None = None
    keys: str | list[str] | None = None
    max_volumes: int | None = None
    protocols: list[str] | None = None
    topology: dict[str, str] | None = None
    backend_topology: dict[str, list[dict[str, str]]] | None = None
    threads: int | None = None
    stop_timeout: float | None = None


#: The tables with fixed keys, and their types.
TABLES: Mapping[str, type[msgspec.Struct]] = {
    "controller": ControllerTable,
    "node": NodeTable,
    "volume_keys": VolumeKeysTable,
    "service": ServiceTable,
    "csi": CSITable,
}
_FREE = ("store", "cinder", "backends")


def problems(file: TomlFile) -> Iterator[ConfigurationError]:
    """The errors in a file that can be found without Cinder."""
    tables = (*_FREE, *TABLES)
    for name, table in file.data.items():
        if name == "include":
            if not isinstance(table, str) or not table:
                yield file.error('include must be a pattern of files: "/folder/*.toml"', name)
        elif name not in tables:
            yield file.error(f"unknown table [{name}]{suggestion(name, tables)}", name)
        elif not isinstance(table, dict):
            yield file.error(f"{name} must be a table: [{name}]", name)
        elif name in TABLES:
            yield from _of_table(file, name, table, TABLES[name])
        elif name == "store" and not table.keys() & set(_STORE):
            near = [suggestion(key, _STORE) for key in table]
            yield file.error(f"[store] needs connection or storage{''.join(near)}", name)
        elif name == "store" and is_in_memory(table):
            yield in_memory_error(file)
        elif name == "backends":
            for backend, options in table.items():
                yield from _of_backend(file, backend, options)


def is_in_memory(store: Mapping[str, Any]) -> bool:
    """Whether a ``[store]`` is lost when the process ends."""
    connection = store.get("connection", "")
    return store.get("storage") in ("memory", "memory_db") or (
        isinstance(connection, str) and urls.in_memory(connection)
    )


def in_memory_error(file: TomlFile) -> ConfigurationError:
    """The error for a store that is lost when the process ends."""
    return file.error(
        "[store] is in memory, so its records would be lost when the command ends: set connection,"
        " for example to 'sqlite:///metadata.sqlite', or remove [store]",
        "store",
    )


def _of_table(
    file: TomlFile, name: str, table: Mapping[str, Any], kind: type[msgspec.Struct]
) -> Iterator[ConfigurationError]:
    known = kind.__struct_fields__
    for key, value in table.items():
        if key not in known:
            yield file.error(f"[{name}] has no key {key!r}{suggestion(key, known)}", name, key)
        elif reference_of(value) is None:
            try:
                msgspec.convert({key: value}, kind)
            except msgspec.ValidationError as exc:
                reason = re.sub(r" - at .*|`| \| null", "", str(exc))
                yield file.error(f"{key}: {reason}", name, key)


def _of_backend(file: TomlFile, name: str, options: Any) -> Iterator[ConfigurationError]:
    from cinderlib.validation import check_backend_name

    if not isinstance(options, dict):
        yield file.error(f"{name} must be a table: [backends.{name}]", "backends", name)
        return
    try:
        check_backend_name(name)
    except ConfigurationError as exc:
        yield file.error(str(exc), "backends", name)
    if "volume_driver" not in options:
        near = difflib.get_close_matches("volume_driver", options, n=1, cutoff=0.6)
        hint = f"; is {near[0]!r} a misspelling of it?" if near else ""
        yield file.error(f"backend {name!r} has no volume_driver{hint}", "backends", name, *near)


def suggestion(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown name, if it resembles a known one."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def reference_of(value: Any) -> tuple[str, str] | None:
    """The target of a reference, ``('env', name)`` or ``('file', path)``; ``None`` for values."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    ((kind, where),) = value.items()
    return (kind, where) if kind in _REFERENCES and isinstance(where, str) else None
