"""The log of the service: one line for each call, with fields, on standard error or in the journal
of systemd.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import logging
import os
import re
import sys
from typing import Any

from logging_journald import JournaldTransport, check_journal_stream

from cinderlib import errors, value_checks
from cinderlib.client import answers
from cinderlib.operations import history

LOG = logging.getLogger("cinderlib.service")

#: The value of the option ``log``.
FORMS = ("auto", "text", "json", "journal")
#: Text of a client in a field is cut after this number of characters.
LONGEST = 200
#: The priorities of syslog(3), by Python's levels.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_is_plain = re.compile(r"[\w.,:/+@-]+", re.ASCII).fullmatch


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """The fields of a call that ended.

    :ivar client: see :class:`cinderlib.service.roles.Peer`.
    :ivar resource: ID or name; empty if there is none.
    :ivar outcome: ``'OK'`` or the code of the error.
    :ivar operation: the ID of a call that changes something.
    :ivar driver_seconds: the part of ``seconds`` in which a driver worked.
    """

    client: str
    verb: str
    resource: str
    backend: str
    outcome: str
    seconds: float
    operation: str = ""
    driver_seconds: float = 0.0

    def fields(self) -> dict[str, str]:
        """The fields that are not empty, as texts."""
        texts = {
            "client": self.client,
            "verb": self.verb,
            "resource": self.resource,
            "backend": self.backend,
            "outcome": self.outcome,
            "seconds": f"{self.seconds:.4f}",
            "driver_seconds": f"{self.driver_seconds:.4f}" if self.driver_seconds else "",
            "operation": self.operation,
        }
        return {name: value[:LONGEST] for name, value in texts.items() if value}


def log(call: Call, error: BaseException | None) -> None:
    """Log a call that ended. Errors of the caller are not warnings."""
    level = logging.INFO
    if error is not None and not isinstance(error, errors.CinderlibError):
        level = logging.ERROR
    elif error is not None and answers.status(error) >= 500:
        level = logging.WARNING
    if not LOG.isEnabledFor(level):
        return
    info = (type(error), error, error.__traceback__) if error and level == logging.ERROR else None
    # Logger.log() would find the line of the caller, which takes as long as the rest.
    record = logging.LogRecord(LOG.name, level, "", 0, _Message(call, error), (), info)
    record.call, record.failure = call, error
    LOG.handle(record)


@dataclasses.dataclass(frozen=True, slots=True)
class _Message:
    """The text of a call, for the forms of the log that contain it."""

    call: Call
    error: BaseException | None

    def __str__(self) -> str:
        call, error = self.call, self.error
        text = call.verb
        if call.resource:
            text += f" {value_checks.shown(call.resource)}"
        text += f" for {call.client}: {call.outcome}, {call.seconds:.3f} s"
        return text if error is None else f"{text}: {error}"


def start(form: str, *, debug: bool = False) -> None:
    """Configure the root logger of this process.

    :param form: one of :data:`FORMS`: ``'auto'`` is the journal if standard error is the journal's,
        otherwise text.
    :param debug: whether to log details too.
    """
    if form == "auto":
        form = "journal" if check_journal_stream() else "text"
    handler: logging.Handler
    if form == "journal":
        handler = Journal(JournaldTransport(connected=False))
    else:
        handler = Lines(sys.stderr.fileno())
        handler.setFormatter(_JSONLines() if form == "json" else _KeysAndValues())
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler])
    # No form of the log has these, and each takes longer than most fields of a call.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    if not debug:
        # Each operation is part of a call, which is logged with the same values.
        history.LOG.setLevel(logging.WARNING)
        history.SETTLED.setLevel(logging.INFO)


def _fields(record: logging.LogRecord) -> dict[str, str]:
    call: Call | None = getattr(record, "call", None)
    if call is None:
        return {}
    failure: BaseException | None = getattr(record, "failure", None)
    return call.fields() | ({} if failure is None else {"error": str(failure)})


class _KeysAndValues(logging.Formatter):
    """``verb=volume.create resource=... outcome=OK seconds=0.0123``; other records are text."""

    def format(self, record: logging.LogRecord) -> str:
        # The text of a call without a traceback is not needed, and takes longer than its fields.
        if record.exc_info or record.stack_info:
            return super().format(record)
        return self.formatMessage(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        fields = _fields(record)
        if not fields:
            return record.getMessage()
        return " ".join([f"{name}={_quoted(value)}" for name, value in fields.items()])


def _quoted(value: str) -> str:
    return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)


class Lines(logging.Handler):
    """Writes each entry with one system call, so threads need no lock and do not wait for each
    other.

    :param descriptor: the open file, which is not closed.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def createLock(self) -> None:  # noqa: N802
        """Without a lock."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write one entry. A lost entry is not an error, because its call was done."""
        try:
            left = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:
            self.handleError(record)
            return
        with contextlib.suppress(OSError):
            while left:
                left = left[os.write(self._descriptor, left) :]


class _JSONLines(logging.Formatter):
    """One object per line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        entry: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        for name in ("seconds", "driver_seconds"):
            if name in entry:
                entry[name] = float(entry[name])
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class Journal(logging.Handler):
    """Writes to the journal, with the fields of a call as ``CINDERLIB_VERB`` and so on.

    :param transport: sends entries.
    """

    def __init__(self, transport: JournaldTransport) -> None:
        super().__init__()
        self._transport = transport

    def emit(self, record: logging.LogRecord) -> None:
        """Write one entry."""
        try:
            priority = next((p for level, p in _PRIORITIES if record.levelno >= level), 7)
            entry = [
                ("MESSAGE", self.format(record)),
                ("PRIORITY", priority),
                ("SYSLOG_IDENTIFIER", "cinderlib"),
                ("LOGGER", record.name),
            ]
            entry += [(f"CINDERLIB_{n.upper()}", v) for n, v in _fields(record).items()]
            self._transport.send(entry)
        except OSError:
            return  # the journal does not run; a lost entry is not an error
        except Exception:
            self.handleError(record)
