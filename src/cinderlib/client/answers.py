"""Results and errors as JSON, and errors from JSON."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cinderlib import errors
from cinderlib.records import HIDDEN, Secret

#: The HTTP status for each error code; 500 for the others.
STATUS: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "FAILED_PRECONDITION": 409,
    "ABORTED": 409,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

#: How many records of a list are sent at a time.
TOGETHER = 200

_CLASSES: Mapping[str, type[errors.CinderlibError]] = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, errors.CinderlibError)
}


def _hide(value: Any) -> Any:
    if isinstance(value, Secret):
        return HIDDEN
    raise NotImplementedError(f"{type(value).__name__} is not JSON")


_encoder = msgspec.json.Encoder(enc_hook=_hide)


def encode(value: Any) -> bytes:
    """A result as JSON; secrets of records are hidden."""
    return _encoder.encode(value)


def pages(records: Iterator[Any], *, lines: bool) -> Iterator[bytes]:
    """Records as a JSON array, or one a line, some at a time."""
    begin, between, end = (b"", b"\n", b"\n") if lines else (b"[", b",\n", b"]")
    yield begin
    first = True
    while True:
        page = [
            _encoder.encode(record) for _, record in zip(range(TOGETHER), records, strict=False)
        ]
        if not page:
            break
        yield (b"" if first else between) + between.join(page)
        first = False
    yield end if not (lines and first) else b""


def of_error(error: BaseException) -> dict[str, Any]:
    """The JSON form of an error: ``{'error': {...}}``."""
    if not isinstance(error, errors.CinderlibError):
        return {
            "error": {
                "code": "INTERNAL",
                "type": "CinderlibError",
                "message": f"Internal error in the service: {type(error).__name__}",
                "retryable": False,
            }
        }
    resource = getattr(error.resource, "id", error.resource)
    document: dict[str, Any] = {
        "code": error.code,
        "type": type(error).__name__,
        "message": str(error),
        "retryable": error.retryable,
        "resource": resource if isinstance(resource, str) else None,
    }
    if notes := getattr(error, "__notes__", None):
        document["notes"] = notes
    if isinstance(error, errors.AlreadyExists):
        document["differences"] = {k: list(map(_plain, v)) for k, v in error.differences.items()}
    return {"error": document}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | dict | list | None) else str(value)


def status(error: BaseException) -> int:
    """The HTTP status for an error."""
    return STATUS.get(getattr(error, "code", "INTERNAL"), 500)


def to_error(document: Mapping[str, Any]) -> errors.CinderlibError:
    """The error that a service sent, of the same class if this version knows it."""
    kind = _CLASSES.get(str(document.get("type")), errors.CinderlibError)
    error = kind(str(document.get("message", "")), resource=document.get("resource"))
    error.retryable = bool(document.get("retryable"))
    if isinstance(error, errors.AlreadyExists):
        error.differences = {
            name: (pair[0], pair[1]) for name, pair in document.get("differences", {}).items()
        }
    for note in document.get("notes", ()):
        error.add_note(str(note))
    return error
