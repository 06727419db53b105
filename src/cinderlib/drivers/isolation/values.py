"""Encodes the values that cross the boundary to a driver in another process.

They are plain values, records, the small classes of :mod:`cinderlib.drivers.port_values` and of
the store interface, and errors. Decoding never runs code, so a driver under the control of an
attacker does not control its caller.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from typing import Any

import msgspec

from cinderlib import errors, records
from cinderlib.drivers.port import Settings
from cinderlib.drivers.port_values import (
    DriverInfo,
    Extent,
    Extents,
    InStorage,
    Lacks,
    Listing,
    Manageable,
    Page,
)
from cinderlib.persistence.base import Put, Query, Remove
from cinderlib.progress import Progress
from cinderlib.records import GROUP_KINDS, KINDS, Record, Secret, TypeSpecs

_RECORD, _SECRET, _OBJECT, _KIND, _TUPLE, _SET, _ERROR = range(1, 8)

#: The classes whose objects are sent, by name. All have fields that their constructor takes.
_CLASSES: Mapping[str, type[Any]] = {
    each.__name__: each
    for each in (
        *(DriverInfo, Extent, Extents, InStorage, Lacks, Listing, Manageable, Page, Progress),
        *(Put, Query, Remove, Settings, TypeSpecs),
    )
}
_FIELDS: Mapping[type[Any], tuple[str, ...]] = {
    each: getattr(each, "_fields", None)
    or getattr(each, "__struct_fields__", None)
    or tuple(each.__dataclass_fields__)
    for each in _CLASSES.values()
}
_KINDS: Mapping[str, type[Record]] = {**KINDS, **{each.kind: each for each in GROUP_KINDS}}
_PLAIN = (bool, int, float, str, bytes)

_encoder = msgspec.msgpack.Encoder()


class DriverTraceback(Exception):
    """The error that a driver raised in its process, as text: its traceback and its causes."""


def encode(value: Any) -> bytes:
    """A value as bytes, **secrets unencrypted**.

    :raises TypeError: it contains an object that cannot be sent.
    """
    try:
        return _encoder.encode(_wire(value))
    except (OverflowError, UnicodeError) as exc:
        raise TypeError(f"it contains a value that cannot be sent: {exc}") from None


def decode(data: bytes | memoryview) -> Any:
    """The opposite of :func:`encode`.

    :raises msgspec.DecodeError: it is not such a value.
    """
    return _decoder.decode(data)


def _wire(value: Any) -> Any:
    """The value in types that MessagePack has; the others are marked with a code."""
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, Record):
        return _marked(_RECORD, f"{value.kind} ".encode() + records.encode(value))
    if isinstance(value, Mapping):
        return {key: _wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_wire(item) for item in value]
    if type(value) in _FIELDS:
        fields = [_wire(getattr(value, name)) for name in _FIELDS[type(value)]]
        return _marked(_OBJECT, _encoder.encode([type(value).__name__, fields]))
    if isinstance(value, tuple | set | frozenset):
        code = _TUPLE if isinstance(value, tuple) else _SET
        return _marked(code, _encoder.encode([_wire(item) for item in value]))
    if isinstance(value, Secret):
        return _marked(_SECRET, _encoder.encode(_wire(value.known())))
    if isinstance(value, type) and issubclass(value, Record):
        return _marked(_KIND, value.kind.encode())
    if isinstance(value, BaseException):
        return _marked(_ERROR, _encoder.encode(_error(value)))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"a {type(value).__name__} cannot be sent to the process of a driver")


def _marked(code: int, data: bytes) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, data)


def _unmarked(code: int, data: memoryview) -> Any:
    if code == _RECORD:
        name, _, document = bytes(data).decode().partition(" ")
        return records.decode(_KINDS[name], document)
    if code == _KIND:
        return KINDS[bytes(data).decode()]
    value = decode(data)
    if code == _OBJECT:
        name, fields = value
        kind: type[Any] = _CLASSES[name]
        return kind(**dict(zip(_FIELDS[kind], fields, strict=True)))
    if code == _TUPLE:
        return tuple(value)
    if code == _SET:
        return frozenset(value)
    if code == _SECRET:
        return Secret(value)
    if code == _ERROR:
        return _raisable(**value)
    raise msgspec.ValidationError(f"no value has the code {code}")


_decoder = msgspec.msgpack.Decoder(ext_hook=_unmarked)


# --- errors --------------------------------------------------------------------------------------


def _error(error: BaseException) -> dict[str, Any]:
    """An error as plain values. Its cause becomes text: it can be of any class."""
    cause = error.__cause__
    resource = getattr(error, "resource", None)
    sent = {
        "kind": type(error).__name__,
        "message": str(error),
        "notes": list(getattr(error, "__notes__", ())),
        "cause": None if cause is None else "".join(traceback.format_exception(cause)),
        "resource": resource if resource is None or isinstance(resource, str) else str(resource),
        "retryable": bool(getattr(error, "retryable", False)),
    }
    if not isinstance(error, errors.CinderlibError | AttributeError):
        sent["cause"] = "".join(traceback.format_exception(error))
    return {key: _printable(value) for key, value in sent.items()}


def _printable(value: Any) -> Any:
    """Text of a driver can contain bytes that it could not decode."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return [_printable(item) for item in value] if isinstance(value, list) else value


def _raisable(
    kind: str,
    message: str,
    notes: list[str],
    cause: str | None,
    resource: str | None,
    retryable: bool,
) -> BaseException:
    found = getattr(errors, kind, None)
    error: BaseException
    if isinstance(found, type) and issubclass(found, errors.CinderlibError):
        error = found(message, resource=resource)
        error.retryable = retryable
    elif kind == "AttributeError":
        error = AttributeError(message)
    else:
        error = errors.CinderlibError(f"{kind}: {message}", resource=resource)
    for note in notes:
        error.add_note(note)
    if cause is not None:
        error.__cause__ = DriverTraceback(f"\n{cause.rstrip()}")
    return error
