"""Checks of the fields of requests. Each raises :class:`cinderlib.errors.InvalidInput`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cinderlib.errors import InvalidInput
from cinderlib.value_checks import check_text, shown

GIB = 1024**3
#: The longest name and ID; CSI demands at least 128 bytes.
LONGEST_NAME = 255
#: The longest path: that of Linux.
LONGEST_PATH = 4096
#: The largest map in bytes. CSI limits maps to 4 KiB; orchestrators do not.
LARGEST_MAP = 64 * 1024
LARGEST_SIZE = (2**31 - 1) * GIB


def required(request: Any, field: str) -> str:
    """A text that must not be empty."""
    value = str(getattr(request, field))
    if not value:
        raise InvalidInput(f"The field {field} is missing.")
    return check_text(value, field, longest=LONGEST_NAME)


def name(request: Any) -> str:
    """The name of a new volume or snapshot."""
    given = required(request, "name")
    if not given.isprintable():
        raise InvalidInput(f"The name {shown(given)} contains control characters.")
    return given


def text_map(request: Any, field: str) -> dict[str, str]:
    """A map of texts of a permitted size."""
    found = dict(getattr(request, field))
    size = sum(len(key.encode()) + len(value.encode()) for key, value in found.items())
    if size > LARGEST_MAP:
        raise InvalidInput(f"The field {field} has {size} bytes; the maximum is {LARGEST_MAP}.")
    return found


def path(request: Any, field: str) -> str:
    """An absolute path without ``..``, whose last part is not a symbolic link.

    :returns: the path, with the links before the last part resolved.
    """
    given = str(getattr(request, field))
    if not given:
        raise InvalidInput(f"The field {field} is missing.")
    check_text(given, field, longest=LONGEST_PATH)
    parts = given.split("/")
    if not given.startswith("/") or ".." in parts or given.strip("/") == "":
        raise InvalidInput(
            f"The {field} must be an absolute path without '..', not {shown(given)}."
        )
    clean = os.path.normpath("/" + given.lstrip("/"))
    if os.path.islink(clean):
        raise InvalidInput(f"The {field} {shown(clean)} is a symbolic link; nothing changed.")
    return os.path.join(os.path.realpath(os.path.dirname(clean)), os.path.basename(clean))


def gib(capacity: Any, *, least: int = 1, default: int = 1) -> int:
    """The size for a capacity range in GiB, rounded up.

    :param capacity: CSI's ``CapacityRange``; 0 means no limit.
    :param least: the smallest possible size.
    :param default: the size without a required size.
    :raises OutOfRange: no size is in the range.
    """
    from cinderlib.errors import OutOfRange

    needed, limit = capacity.required_bytes, capacity.limit_bytes
    if needed < 0 or limit < 0:
        raise InvalidInput("The capacity_range must not be negative.")
    if limit and needed > limit:
        raise InvalidInput(
            f"The capacity_range requires {needed} bytes and limits them to {limit}."
        )
    if needed > LARGEST_SIZE:
        raise OutOfRange(f"No volume has {needed} bytes; the maximum is {LARGEST_SIZE}.")
    size = max(-(-needed // GIB) if needed else default, least)
    if limit and size * GIB > limit:
        raise OutOfRange(
            f"The smallest possible size is {size} GiB ({size * GIB} bytes), and the limit is"
            f" {limit} bytes. Sizes are whole GiB."
        )
    return size


def misspelt(what: str, given: Mapping[str, str], known: list[str]) -> None:
    """Refuse unknown keys, with a suggestion."""
    import difflib

    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
        raise InvalidInput(f"Unknown {what} {shown(key)}{hint}")
