"""Checks of arguments that are resources or fields of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from cinderlib import errors, value_checks
from cinderlib.objects.resource import Resource

R = TypeVar("R", bound=Resource)


def check_resource(value: Any, kind: type[R], what: str) -> R:
    """A volume, snapshot or connection that was passed as an argument, of any controller.

    :param kind: its class, or that of one controller.
    :param what: the argument's name, for the message.
    :raises InvalidInput: it is something else.
    """
    if isinstance(value, Resource) and value._kind is kind._kind:
        return cast(R, value)
    raise errors.InvalidInput(
        f"The {what} must be a {kind._kind.kind}, not {value_checks.shown(value)}."
    )


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """:raises InvalidInput: a field is unknown; the message suggests a similar known field."""
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise errors.InvalidInput(f"{what} has no field {name!r}{hint}")
