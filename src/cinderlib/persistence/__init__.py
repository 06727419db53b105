"""Metadata stores: the places where records are kept.

:mod:`cinderlib.persistence.base` defines the interface. The library includes the stores ``memory``,
``memory_db`` and ``db``. Other packages register stores under the entry point group
``cinderlib.persistence.storage``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from cinderlib.errors import CinderlibError, InvalidPersistence, MissingDependency
from cinderlib.persistence.base import PersistenceDriverBase, Store
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from cinderlib.persistence.encryption import Keys
    from cinderlib.persistence.sql.cinderlib5 import Cinderlib5Database

GROUP = "cinderlib.persistence.storage"

#: The stores of this library. Reading the metadata of every installed package would take tens of
#: milliseconds.
_OURS = {
    "memory": "cinderlib.persistence.memory:MemoryStore",
    "memory_db": "cinderlib.persistence.sql:SQLMemoryStore",
    "db": "cinderlib.persistence.sql:SQLStore",
}

#: Those of ``db`` that are not SQL databases, by the scheme of their URLs.
_BY_SCHEME = {
    "etcd": "cinderlib.persistence.etcd:EtcdStore",
}


#: The configuration of a store; see :func:`open_store`.
PersistenceConfig: TypeAlias = (
    Mapping[str, object]
    | str
    | Store
    | type[Store]
    | PersistenceDriverBase
    | type[PersistenceDriverBase]
    | None
)


def open_store(config: PersistenceConfig = None) -> Store:
    """Open the store that a persistence configuration describes.

    :param config: ``None`` for a store in memory; a dict with ``storage`` and the arguments of the
        store; or ``storage`` alone. ``storage`` is a name (``memory``, ``memory_db``, ``db``, or a
        name that an installed package registers), ``'module:Class'``, a class, or an instance, of
        :class:`~cinderlib.persistence.base.Store` or of cinderlib 5's ``PersistenceDriverBase``.
        With ``encryption_keys``, secrets are encrypted in the store: a list of keys from
        :func:`generate_key`, or a text with them. The first key encrypts, all keys decrypt.
    :raises InvalidPersistence: it does not describe a store, or a key is not valid. The message
        names the value and the known stores.
    :raises MissingDependency: the store needs a package that is not installed.
    :raises StoreError: the store cannot be opened.
    """
    if config is None:
        config = {"storage": "memory"}
    elif not isinstance(config, Mapping):
        config = {"storage": config}
    arguments = {str(name): value for name, value in config.items() if name != "storage"}
    keys = _keys(arguments.pop("encryption_keys", None))
    storage = config.get("storage", "memory")
    found = _load(storage, arguments) if isinstance(storage, str) else storage
    if isinstance(found, type):
        found = _make(found, storage, arguments)
    elif arguments:
        raise InvalidPersistence(
            f"The persistence {shown(storage)} is an instance and takes no {', '.join(arguments)}."
        )
    if isinstance(found, Store):
        if keys is None:
            return found
        from cinderlib.persistence.encryption import EncryptedStore

        return EncryptedStore(found, keys)

    if isinstance(found, PersistenceDriverBase):
        if keys is not None:
            raise InvalidPersistence(
                f"The persistence {shown(storage)} receives objects with secrets in clear and must "
                "encrypt them itself; encryption_keys work only with a Store"
            )
        from cinderlib.persistence.object_store import ObjectStore

        return ObjectStore(found)
    raise InvalidPersistence(
        f"The persistence {shown(storage)} is neither a Store nor a PersistenceDriverBase."
        f" {_known()}"
    )


def generate_key() -> str:
    """A new key for ``encryption_keys``.

    :raises MissingDependency: the Python package ``cryptography`` is not installed.
    """
    from cinderlib.persistence import encryption

    return encryption.generate_key()


def _keys(given: Any) -> Keys | None:
    if given is None:
        return None
    from cinderlib.persistence.encryption import Keys

    return Keys(given)


def upgrade_store(config: PersistenceConfig, *, dry_run: bool = False) -> tuple[int | None, int]:
    """Create the tables of a ``db`` persistence, or upgrade them to the schema of this version.
    Opening the store does the same.

    :param config: see :func:`open_store`.
    :param dry_run: only report the versions, without changing the database.
    :returns: the version of the schema before, ``None`` if there were no tables, and after. A newer
        schema that this version of the library can use is not changed.
    :raises InvalidPersistence: the configuration does not describe a ``db`` persistence.
    :raises StoreError: the database failed, or its schema is too new for this version.
    """
    if not isinstance(config, Mapping) or config.get("storage") != "db":
        raise InvalidPersistence("Only the schema of a 'db' persistence can be upgraded.")
    arguments = {name: config[name] for name in ("connection", "timeout") if name in config}
    if _scheme(arguments) in _BY_SCHEME:
        from cinderlib.persistence.etcd import layout_versions as find_versions
    else:
        from cinderlib.persistence.sql import schema_versions as find_versions
    versions: tuple[int | None, int] = _make(find_versions, "db", arguments)
    if not dry_run:
        open_store(config).close()
    return versions


def open_cinderlib5(connection: str) -> Cinderlib5Database:
    """Open a database that cinderlib 5 wrote, to read its volumes and key-values.

    :param connection: its SQLAlchemy URL.
    :raises InvalidPersistence: it is not a database of cinderlib 5.
    :raises StoreError: it cannot be read.
    """
    from cinderlib.persistence.sql.cinderlib5 import Cinderlib5Database

    return Cinderlib5Database(connection)


def _scheme(arguments: Mapping[str, Any]) -> str:
    """The scheme of the URL of a database."""
    return str(arguments.get("connection", "")).partition("://")[0]


def _load(storage: str, arguments: Mapping[str, Any]) -> Any:
    """The class or instance for a name or a ``'module:Class'`` path."""
    if "://" in storage:
        raise InvalidPersistence(  # which can have a password
            "The URL of a database is not the name of a persistence: use"
            " {'storage': 'db', 'connection': URL}."
        )
    path = _OURS.get(storage)
    if storage == "db":
        path = _BY_SCHEME.get(_scheme(arguments), path)
    if path is None and ":" in storage:
        path = storage
    if path is None:
        for entry in _entry_points(name=storage):
            path = entry.value
    if path is None:
        raise InvalidPersistence(f"Unknown persistence {shown(storage)}. {_known()}")
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as exc:
        missing = exc.name and exc.name.split(".")[0] != module.split(".")[0]
        if missing:
            raise MissingDependency(
                f"The persistence {shown(storage)} needs the Python package {exc.name!r}."
                " Install it."
            ) from exc
        raise InvalidPersistence(
            f"The persistence {shown(storage)} cannot be imported: {exc}. {_known()}"
        ) from exc
    except (AttributeError, ValueError) as exc:
        raise InvalidPersistence(
            f"The module {module!r} has no persistence {attribute!r}. {_known()}"
        ) from exc


def _make(found: Callable[..., Any], storage: Any, arguments: Mapping[str, Any]) -> Any:
    try:
        return found(**arguments)
    except CinderlibError:
        raise
    except TypeError as exc:
        # The message does not repeat values: one may be a URL with a password.
        given = ", ".join(arguments) or "nothing"
        raise InvalidPersistence(
            f"The persistence {shown(storage)} cannot be created with {given}: {exc}"
        ) from exc


def _known() -> str:
    names = {entry.name for entry in _entry_points()} | set(_OURS)
    return f"Known: {', '.join(sorted(names))}, 'module:Class', a class or an instance."


def _entry_points(name: str | None = None) -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # imported late because it is slow to import

    found = entry_points(group=GROUP)
    return found if name is None else found.select(name=name)
