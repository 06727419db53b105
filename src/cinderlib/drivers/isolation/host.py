"""The host process: it loads one driver and calls it for the process that uses it (the caller)."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

from cinderlib.drivers import bootstrap
from cinderlib.drivers.isolation import values
from cinderlib.drivers.isolation.channel import Channel, Lost
from cinderlib.drivers.isolation.limits import OUT_OF_MEMORY
from cinderlib.drivers.port import TASKS, Driver, Settings
from cinderlib.errors import CinderlibError, DamagedRecord, InvalidState, StoreError, Unsupported
from cinderlib.persistence.base import Change, Query, Store
from cinderlib.progress import Progress
from cinderlib.records import Record

R = TypeVar("R", bound=Record)

#: Options of a backend.
Options: TypeAlias = Mapping[str, Any]
#: The levels of loggers, by name.
Levels: TypeAlias = Mapping[str, int]

#: Calls at the same time. Callers limit them; threads are only started when they are needed.
_THREADS = 4096


def run(end: socket.socket) -> NoReturn:
    """Answer calls until the caller closes its end.

    :param end: the host's end of the channel.
    """
    try:
        _Host(end).run()
    except (MemoryError, RuntimeError):  # no room for the stack of a thread
        os._exit(OUT_OF_MEMORY)
    os._exit(0)


class _Host:
    def __init__(self, end: socket.socket) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, "call")
        self._channel = Channel(end, self._answer, self._threads.submit)
        self._driver: Driver | None = None

    def run(self) -> None:
        self._channel.receive()

    def _answer(self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        try:
            return self._function(function)(*args, **kwargs)
        except BaseException as exc:
            if _is_out_of_memory(exc):
                os._exit(OUT_OF_MEMORY)  # what it still has belongs to a leak
            if isinstance(exc, SystemExit):
                raise CinderlibError(f"the driver called sys.exit({exc.code!r})") from exc
            raise

    def _function(self, name: str) -> Callable[..., Any]:
        own: Mapping[str, Callable[..., Any]] = {
            "load": self._load,
            "check": self._check,
            "attribute": self._attribute,
            "call_attribute": self._call_attribute,
        }
        if name in own:
            return own[name]
        if name not in TASKS:
            raise Unsupported(f"drivers have no {name}()")
        return cast(Callable[..., Any], getattr(self._loaded(), name))

    def _loaded(self) -> Driver:
        if self._driver is None:
            raise InvalidState("the driver is not loaded")
        return self._driver

    def _load(self, name: str, options: Options, settings: Settings, levels: Levels) -> Any:
        from cinderlib.drivers import loading

        self._configure(settings, levels)
        store = _CallersStore(self._channel)
        self._driver = loading.load(name, options, store, settings, None, self._report)
        return self._driver.info

    def _check(self, name: str, options: Options, settings: Settings, levels: Levels) -> Any:
        from cinderlib.drivers import loading

        self._configure(settings, levels)
        return loading.check(name, options, settings)

    def _configure(self, settings: Settings, levels: Levels) -> None:
        root = logging.getLogger()
        root.handlers[:] = [_Forwarder(self._channel)]
        for logger, level in levels.items():
            logging.getLogger(logger or None).setLevel(level)
        bootstrap.start(settings)

    def _report(self, progress: Progress) -> None:
        self._channel.notify("progress", progress)

    def _attribute(self, name: str) -> tuple[bool, Any]:
        """:returns: whether it is a method, and the value of others."""
        value = self._loaded().attribute(name)
        if callable(value):
            return True, None
        return False, _sendable(f"attribute {name!r}", value)

    def _call_attribute(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return _sendable(f"result of {name}()", self._loaded().attribute(name)(*args, **kwargs))


def _sendable(what: str, value: Any) -> Any:
    try:
        values.encode(value)
    except TypeError as exc:
        raise Unsupported(
            f"the {what} of a driver with isolation='process' cannot be read: {exc}"
        ) from None
    return value


def _is_out_of_memory(error: BaseException | None) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


class _Forwarder(logging.Handler):
    """Sends log records to the caller's loggers."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            traceback = record.exc_text
            if traceback is None and record.exc_info:
                traceback = self._formatter.formatException(record.exc_info)
        except Exception:
            self.handleError(record)
            return
        with contextlib.suppress(Lost):
            self._channel.notify(
                "log",
                {
                    "name": record.name,
                    "levelno": record.levelno,
                    "levelname": record.levelname,
                    "msg": text.encode(errors="backslashreplace").decode(),
                    "pathname": record.pathname,
                    "filename": record.filename,
                    "module": record.module,
                    "lineno": record.lineno,
                    "funcName": record.funcName,
                    "created": record.created,
                    "msecs": record.msecs,
                    "threadName": record.threadName,
                    "process": record.process,
                    "exc_text": traceback,
                },
            )


class _CallersStore(Store):
    """The store of the caller."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def get(self, kind: type[R], id: str) -> R | None:
        return cast("R | None", self._ask("get", kind, id))

    def find(self, kind: type[R], *arguments: Any, **options: Any) -> list[R]:
        return cast("list[R]", self._ask("find", kind, *arguments, **options))

    def query(self, *queries: Query) -> list[list[Any]]:
        return cast("list[list[Any]]", self._ask("query", *queries))

    def scan(self, kind: type[R], *arguments: Any, **options: Any) -> Iterator[R | DamagedRecord]:
        # Drivers make lists of the results, so streaming would not save memory.
        return iter(self._ask("scan", kind, *arguments, **options))

    def count(self, kind: type[Record], where: Mapping[str, str] | None = None) -> int:
        return cast(int, self._ask("count", kind, where))

    def apply(self, *changes: Change) -> tuple[Record, ...]:
        return cast("tuple[Record, ...]", self._ask("apply", *changes))

    def close(self) -> None:
        """Nothing to do: the caller closes it."""

    def _ask(self, function: str, *args: Any, **kwargs: Any) -> Any:
        try:
            answer = self._channel.call(f"store.{function}", args, kwargs)
        except Lost:
            raise StoreError("the process with the store has ended") from None
        if isinstance(answer, BaseException):
            raise answer
        return answer
