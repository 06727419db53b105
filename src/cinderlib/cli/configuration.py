"""Finds and checks the configuration file ``cinderlib.toml``, and converts it to arguments."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from cinderlib import urls
from cinderlib.cli import paths
from cinderlib.cli.tomlfile import TomlFile
from cinderlib.errors import BackendNotFound, ConfigurationError, StoreNotFound
from cinderlib.locking import state_folder
from cinderlib.locking.state_folder import user_folder

NAME = "cinderlib.toml"
SYSTEM = Path("/etc/cinderlib") / NAME
VARIABLE = "CINDERLIB_CONFIG"

#: Maximum length of a file with a value, in characters.
_LONGEST = 2**20

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
    "service": ServiceTable,
    "csi": CSITable,
}
_FREE = ("store", "cinder", "backends")
_OF_NODE_CLIENT = ("service", "certificate", "key", "ca")


class Configuration:
    """A checked configuration file.

    References to secrets are resolved when a table or backend is used.

    :param file: the file; ``None`` for the default values if no file exists.
    :raises ConfigurationError: a key is unknown or has an invalid value; the message has the line.
    """

    def __init__(self, file: TomlFile | None) -> None:
        self.file = file
        self._data: dict[str, Any] = file.data if file else {}
        if file:
            for problem in problems(file):
                raise problem

    @property
    def data(self) -> dict[str, Any]:
        """The content of the file, including its secrets; references are not resolved."""
        return self._data

    @property
    def backends(self) -> list[str]:
        """The names of the backends, in the order of the file."""
        return list(self._data.get("backends", ()))

    def only_backend(self) -> str:
        """The name of the only backend.

        :raises ConfigurationError: no backend or several backends are configured.
        """
        if len(self.backends) == 1:
            return self.backends[0]
        if not self.backends:
            raise ConfigurationError(self._no_backend())
        raise ConfigurationError(f"Choose a backend with --backend: {', '.join(self.backends)}")

    def backend(self, name: str) -> dict[str, Any]:
        """The options of a backend, with its secrets.

        :raises BackendNotFound: the backend is not configured.
        """
        self.require_backend(name)
        options = self._data["backends"][name]
        return {
            option: self._resolved(value, "backends", name, option)
            for option, value in options.items()
        }

    def require_file(self) -> None:
        """:raises ConfigurationError: no configuration file exists; the message lists its possible
        paths."""
        if self.file is None:
            raise ConfigurationError(missing())

    def require_backend(self, name: str) -> None:
        """:raises BackendNotFound: the backend is not configured; the message lists the configured
        ones."""
        if name not in self.backends:
            near = _near(name, self.backends)
            raise BackendNotFound(
                f"Backend {name!r} is not configured{near or '.'} {self._no_backend()}",
                resource=name,
            )

    def _no_backend(self) -> str:
        if self.file is None:
            return missing()
        known = ", ".join(self.backends)
        return f"{self.file.path} configures {known or 'no backends; add a table [backends.NAME]'}"

    def persistence(self, *, create: bool = True) -> dict[str, Any]:
        """The ``persistence_config`` of the controller: by default a SQLite file in its state
        folder.

        :param create: whether to create a database that does not exist, and the folder of the
            default database. Otherwise opening it raises ``StoreNotFound``.
        """
        store = self._table("store")
        if not store.keys() & {"connection", "storage"}:
            folder = self._default_store.parent
            try:
                if create:
                    state_folder.make(folder)
            except OSError as exc:
                raise ConfigurationError(
                    f"Cannot create the folder {folder} for the store: {exc.strerror}. Configure"
                    " [store] connection or [controller] state_path"
                ) from exc
            store["connection"] = f"sqlite:///{self._default_store}"
        if self.file is not None and is_in_memory(store):
            raise _in_memory(self.file)
        if store.get("storage", "db") == "db":
            store |= {"storage": "db", "create": create}
        return store

    def check_default_store(self) -> None:
        """:raises StoreNotFound: the configuration uses the default store, which does not exist
        yet."""
        if not self._table("store").keys() & {"connection", "storage"}:
            store = self._default_store
            if not store.exists():
                raise StoreNotFound(f"The store {store} does not exist yet.")

    def empty_store(self) -> dict[str, Any]:
        """The ``persistence_config`` of an empty store in memory, which replaces a store that does
        not exist yet."""
        keys = self._table("store").get("encryption_keys")
        return {"storage": "memory"} | ({} if keys is None else {"encryption_keys": keys})

    @property
    def _default_store(self) -> Path:
        return self._state_folder() / "metadata.sqlite"

    def _state_folder(self) -> Path:
        chosen = self._table("controller").get("state_path")
        return state_folder.default() if chosen is None else Path(chosen)

    def controller(self) -> dict[str, Any]:
        """The arguments of the controller."""
        return {**self._table("controller"), "cinder_options": self._table("cinder")}

    def node(self) -> dict[str, Any]:
        """The arguments of the node. Its state folder is in the controller's, so that both use the
        same attachments."""
        controller = self._table("controller")
        shared = {k: controller[k] for k in ("root_helper",) if k in controller}
        if "state_path" in controller:
            shared["state_path"] = str(Path(controller["state_path"]) / "node")
        table = self._table("node")
        return {**shared, **{k: v for k, v in table.items() if k not in _OF_NODE_CLIENT}}

    def node_client(self) -> dict[str, Any] | None:
        """The arguments of the node's client of a service; ``None`` if the configuration names no
        service."""
        table = self._with_paths("node", "certificate", "key", "ca")
        if "service" not in table:
            return None
        given = {name: value for name, value in table.items() if name in _OF_NODE_CLIENT}
        return {"url": given.pop("service"), **given}

    def service(self) -> dict[str, Any]:
        """The settings of the service; relative paths are resolved from the folder of the file."""
        return self._with_paths("service", "socket", "certificate", "key", "client_ca", "links")

    def csi(self) -> dict[str, Any]:
        """The settings of the CSI plug-in."""
        return self._table("csi")

    def _with_paths(self, table: str, *names: str) -> dict[str, Any]:
        found = self._table(table)
        if self.file is not None:
            for name in names:
                if name in found:
                    found[name] = self.file.path.absolute().parent / found[name]
        return found

    def _table(self, name: str) -> dict[str, Any]:
        table = self._data.get(name, {})
        return {key: self._resolved(value, name, key) for key, value in table.items()}

    def check_references(self) -> None:
        """Resolve all references to secrets.

        :raises ConfigurationError: a reference cannot be resolved.
        """
        for name in ("store", "controller", "cinder", "node"):
            self._table(name)
        for name in self.backends:
            self.backend(name)

    def _resolved(self, value: Any, *keys: str) -> Any:
        found = self._dereferenced(value, *keys)
        assert self.file is not None  # a value comes from it
        return paths.resolve(keys[-1], found, self.file.path.parent)

    def _dereferenced(self, value: Any, *keys: str) -> Any:
        if isinstance(value, list):
            return [self._dereferenced(item, *keys) for item in value]
        reference = reference_of(value)
        if reference is None:
            return value
        assert self.file is not None  # a value comes from it
        kind, where = reference
        if kind == "env":
            if where not in os.environ:
                raise self.file.error(f"the environment variable {where} is not set", *keys)
            return os.environ[where]
        try:
            # Relative to the folder of the configuration file.
            with open(self.file.path.parent / where, encoding="utf-8") as file:
                found = file.read(_LONGEST + 1)
            if len(found) > _LONGEST:
                raise self.file.error(f"{where} has more than {_LONGEST} characters", *keys)
            return found.rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "the file is not text"
            raise self.file.error(f"cannot read {where}: {reason}", *keys) from exc


def reference_of(value: Any) -> tuple[str, str] | None:
    """The target of a reference, ``('env', name)`` or ``('file', path)``; ``None`` for values."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    ((kind, where),) = value.items()
    return (kind, where) if kind in _REFERENCES and isinstance(where, str) else None


def find(given: str | None) -> Path | None:
    """The configuration file: from ``--config``, the environment, the user or the system.

    :param given: the value of ``--config``.
    :raises ConfigurationError: the file from ``--config`` or the environment does not exist.
    """
    for source, named in (("--config", given), (f"${VARIABLE}", os.environ.get(VARIABLE))):
        if named:
            path = Path(named).absolute()
            if not os.path.isfile(path):
                raise ConfigurationError(
                    f"The configuration file {path} (from {source}) does not exist"
                )
            return path
    return next((path for path in _places() if os.path.isfile(path)), None)


def _places() -> tuple[Path, ...]:
    folder = user_folder("config")
    return (SYSTEM,) if folder is None else (folder / NAME, SYSTEM)


def missing() -> str:
    """The message if no configuration file exists."""
    return (
        f"No configuration file ({' or '.join(map(str, _places()))}): create one with"
        f" `cinderlib init`, specify one with --config or ${VARIABLE}, or convert a cinder.conf"
        " with `cinderlib config from-cinder`"
    )


def load(given: str | None = None) -> Configuration:
    """Find, read and check the configuration.

    :param given: the value of ``--config``.
    :raises ConfigurationError: the file does not exist or is not valid.
    """
    path = find(given)
    return Configuration(TomlFile(path) if path else None)


def problems(file: TomlFile) -> Iterator[ConfigurationError]:
    """The errors in a file that can be found without Cinder."""
    tables = (*_FREE, *TABLES)
    for name, table in file.data.items():
        if name not in tables:
            yield file.error(f"unknown table [{name}]{_near(name, tables)}", name)
        elif not isinstance(table, dict):
            yield file.error(f"{name} must be a table: [{name}]", name)
        elif name in TABLES:
            yield from _of_table(file, name, table, TABLES[name])
        elif name == "store" and not table.keys() & set(_STORE):
            near = [_near(key, _STORE) for key in table]
            yield file.error(f"[store] needs connection or storage{''.join(near)}", name)
        elif name == "store" and is_in_memory(table):
            yield _in_memory(file)
        elif name == "backends":
            for backend, options in table.items():
                yield from _of_backend(file, backend, options)


def is_in_memory(store: Mapping[str, Any]) -> bool:
    """Whether a ``[store]`` is lost when the process ends."""
    connection = store.get("connection", "")
    return store.get("storage") in ("memory", "memory_db") or (
        isinstance(connection, str) and urls.in_memory(connection)
    )


def _in_memory(file: TomlFile) -> ConfigurationError:
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
            yield file.error(f"[{name}] has no key {key!r}{_near(key, known)}", name, key)
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


def _near(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
