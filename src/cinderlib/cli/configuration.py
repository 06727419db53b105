"""Finds the configuration file ``cinderlib.toml``, and converts it to arguments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cinderlib.cli import includes, paths
from cinderlib.cli.schema import (
    in_memory_error,
    is_in_memory,
    problems,
    reference_of,
    suggestion,
)
from cinderlib.cli.tomlfile import TomlFile
from cinderlib.errors import BackendNotFound, ConfigurationError, StoreNotFound
from cinderlib.locking import state_folder
from cinderlib.locking.state_folder import user_folder

NAME = "cinderlib.toml"
SYSTEM = Path("/etc/cinderlib") / NAME
VARIABLE = "CINDERLIB_CONFIG"

#: The value of ``--backend`` with which the backend is chosen.
AUTO = "auto"
#: Maximum length of a file with a value, in characters.
_LONGEST = 2**20

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
        #: The file of each backend: an included one, or the configuration file itself.
        self._files: dict[str, TomlFile] = {}
        if file:
            for problem in problems(file):
                raise problem
            self._files = includes.read(file)
            self._data = {name: table for name, table in file.data.items() if name != "include"}
            if self._files:
                self._data["backends"] = {
                    name: each.data["backends"][name] for name, each in self._files.items()
                }

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

    def is_chosen_for_volumes(self, backend: str | None, type: str | None) -> bool:
        """Whether the rules of Cinder's scheduler choose the backend of a new volume.

        :param backend: the value of ``--backend``.
        :param type: the requested volume type.
        """
        if backend is None:
            return type is not None and len(self.backends) > 1
        return backend == AUTO and AUTO not in self.backends

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
            hint = suggestion(name, self.backends)
            raise BackendNotFound(
                f"Backend {name!r} is not configured{hint or '.'} {self._no_backend()}",
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
            raise in_memory_error(self.file)
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
        return {
            **self._table("controller"),
            "cinder_options": self._table("cinder"),
            "volume_keys": self._table("volume_keys"),
        }

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

    def this_host(self) -> dict[str, Any]:
        """The settings of this host for a controller of a service."""
        host = self.node()
        return {k: host[k] for k in ("root_helper", "my_ip", "state_path") if k in host}

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
        for name in ("store", "controller", "cinder", "node", "volume_keys"):
            self._table(name)
        for name in self.backends:
            self.backend(name)

    def _resolved(self, value: Any, *keys: str) -> Any:
        found = self._dereferenced(value, *keys)
        return paths.resolve(keys[-1], found, self._file_of(*keys).path.parent)

    def _file_of(self, *keys: str) -> TomlFile:
        """The file with the value of these keys."""
        found = self._files.get(keys[1]) if keys[0] == "backends" else self.file
        assert found is not None  # a value comes from it
        return found

    def _dereferenced(self, value: Any, *keys: str) -> Any:
        if isinstance(value, list):
            return [self._dereferenced(item, *keys) for item in value]
        reference = reference_of(value)
        if reference is None:
            return value
        source = self._file_of(*keys)
        kind, where = reference
        if kind == "env":
            if where not in os.environ:
                raise source.error(f"the environment variable {where} is not set", *keys)
            return os.environ[where]
        try:
            # Relative to the folder of the configuration file.
            with open(source.path.parent / where, encoding="utf-8") as file:
                found = file.read(_LONGEST + 1)
            if len(found) > _LONGEST:
                raise source.error(f"{where} has more than {_LONGEST} characters", *keys)
            return found.rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "the file is not text"
            raise source.error(f"cannot read {where}: {reason}", *keys) from exc


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
