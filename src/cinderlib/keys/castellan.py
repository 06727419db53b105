"""Keys in a key manager, through castellan: Vault, OpenBao, Barbican."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from cinderlib.errors import ConfigurationError, KeyManagerError, MissingDependency

T = TypeVar("T")

#: The lead of the ID of a key whose final ID is not known yet, before its name.
_NAMED = "name="
#: Packages of castellan and its clients, whose loggers can log requests and answers with keys.
_CLIENTS = ("barbicanclient", "castellan", "keystoneauth", "requests", "urllib3")


class CastellanKeys:
    """A key manager.

    castellan chooses the ID of a key, so an interrupted :meth:`put` can leave a key whose ID is not
    recorded. Its name is recorded before, and identifies it.

    :param config: the absolute path of castellan's configuration file, which can be that of Cinder.
    :raises MissingDependency: castellan is not installed.
    """

    def __init__(self, config: str) -> None:
        if importlib.util.find_spec("castellan") is None:
            raise MissingDependency(
                "Keys in a key manager need the Python package 'castellan'. Install it:"
                " pip install 'cinderlib[castellan]'"
            )
        self._config = config
        self._guard = threading.Lock()
        self._opened: tuple[Any, Any] | None = None

    def __str__(self) -> str:
        return f"the key manager of {self._config}"

    def reserve(self, volume_id: str) -> str:
        def answers(manager: Any, context: Any) -> None:
            with contextlib.suppress(_castellan().ManagedObjectNotFoundError):
                manager.get(context, str(uuid.uuid4()), metadata_only=True)

        self._call(answers, "it does not answer")
        volume = urllib.parse.quote(volume_id, safe="")[:200]
        return f"{_NAMED}cinderlib-{volume}-{uuid.uuid4().hex[:16]}"

    def put(self, id: str, key: str) -> str:
        from castellan.common.objects.symmetric_key import SymmetricKey

        value = bytes.fromhex(key)
        name = id.removeprefix(_NAMED)

        def store(manager: Any, context: Any) -> str:
            kept = str(
                manager.store(context, SymmetricKey("AES", len(value) * 8, value, name=name))
            )
            # castellan's client of Vault ignores some errors.
            if manager.get(context, kept).get_encoded() != value:
                raise KeyManagerError("it returned another key than the stored one")
            return kept

        return self._call(
            store, "it does not return the key that was stored. Check the path and the version"
        )

    def get(self, id: str) -> str:
        def get(manager: Any, context: Any) -> bytes:
            found: bytes = manager.get(context, id).get_encoded()
            return found

        return self._call(get, f"it has no key with the ID {id}. Restore the key there").hex()

    def delete(self, id: str) -> None:
        def delete(manager: Any, context: Any) -> None:
            for each in self._ids(manager, context, id):
                with contextlib.suppress(_castellan().ManagedObjectNotFoundError):
                    manager.delete(context, each)

        self._call(delete, "it could not list its keys")

    def _ids(self, manager: Any, context: Any, id: str) -> list[str]:
        if not id.startswith(_NAMED):
            return [id]
        name = id.removeprefix(_NAMED)
        if hasattr(manager, "_get_barbican_client"):
            # castellan lists only the first 10 keys of Barbican.
            secrets = manager._get_barbican_client(context).secrets.list(limit=100, name=name)
            return [str(each.secret_ref).rstrip("/").rpartition("/")[2] for each in secrets]
        found = manager.list(context, metadata_only=True)
        return [str(each.id) for each in found if each.name == name]

    def _call(self, call: Callable[[Any, Any], T], missing: str) -> T:
        """Call the key manager.

        :param missing: the message if it has no such key.
        """
        with _quiet.call():
            try:
                return call(*self._manager())
            except (KeyManagerError, ConfigurationError):
                raise
            except Exception as exc:
                if isinstance(exc, _castellan().ManagedObjectNotFoundError):
                    raise KeyManagerError(missing, retryable=False) from None
                # Without the cause, whose locals can have the key.
                raise KeyManagerError(_reason(exc)) from None

    def _manager(self) -> tuple[Any, Any]:
        """castellan's key manager, and the credentials."""
        with self._guard:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> tuple[Any, Any]:
        from castellan import key_manager
        from castellan.common import utils
        from oslo_config import cfg

        conf = cfg.ConfigOpts()
        try:
            files = [self._config]
            conf([], project="cinderlib", default_config_files=files, default_config_dirs=[])
            conf.register_opts(utils.credential_opts, group=utils.OPT_GROUP)
            manager = key_manager.API(conf)
            has_credentials = conf.key_manager.auth_type is not None
            _quiet.install()
            return manager, utils.credential_factory(conf) if has_credentials else None
        except (cfg.Error, ImportError, ValueError) as exc:
            raise ConfigurationError(
                f"castellan cannot be used with the configuration file {self._config}:"
                f" {_reason(exc)}"
            ) from None


class _Quiet(logging.Filter):
    """Drops what the clients of castellan log while a thread calls a key manager: requests and
    answers have keys. Errors are raised, so no reason of a failure is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(self._thread, "calls", False)

    def install(self) -> None:
        """Add it to all loggers of the clients, which are imported."""
        for name in list(logging.root.manager.loggerDict):
            if name.partition(".")[0] in _CLIENTS:
                logging.getLogger(name).addFilter(self)

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Drop what this thread logs."""
        self._thread.calls = True
        try:
            yield
        finally:
            self._thread.calls = False


_quiet = _Quiet()


def _castellan() -> Any:
    import castellan.common.exception

    return castellan.common.exception


def _reason(error: BaseException) -> str:
    """The reason of an error of castellan, for people."""
    import requests

    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, _castellan().Forbidden) or "HTTP 401" in text:
        return f"it refused access ({text}). Check the credentials in its configuration file"
    if isinstance(error, KeyError | requests.JSONDecodeError):
        return "it gave an answer that castellan does not understand. Check its address"
    if "Service Unavailable" in text:
        return f"it does not answer requests ({text}). Is it sealed, or in standby?"
    return text
