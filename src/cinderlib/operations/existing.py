"""Errors for resources that exist with other properties, or do not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from cinderlib import errors
from cinderlib.records import Record


def refuse_differences(what: str, there: Record, asked: Mapping[str, Any]) -> None:
    """Refuse an existing resource whose properties differ from the requested ones.

    :raises AlreadyExists: they differ.
    """
    differ = {
        field: (getattr(there, field), value)
        for field, value in asked.items()
        if getattr(there, field) != value
    }
    if differ:
        differing = ", ".join(
            f"{f} is {a!r}, requested {b!r}" for f, (a, b) in sorted(differ.items())
        )
        raise errors.AlreadyExists(
            f"{what} {there.id} already exists with different properties: {differing}",
            resource=there.id,
            differences=differ,
        )


def raise_not_found(kind: type[errors.NotFound], what: str, id: str, where: str = "") -> NoReturn:
    raise kind(f"{what[0].upper()}{what[1:]} {id}{where} does not exist", resource=id)
