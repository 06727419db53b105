"""Arguments that nobody should pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

#: By name, for the message of a failed test. Each value is created for one call, which may change
#: it.
WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "empty text": lambda: "",
    "space": lambda: " ",
    "zero": lambda: 0,
    "negative": lambda: -1,
    "small": lambda: 0.1,
    "63 bits": lambda: 2**63,
    "400 bits": lambda: 2**400,
    "huge float": lambda: 1e308,
    "not a number": lambda: math.nan,
    "infinite": lambda: -math.inf,
    "complex": lambda: 1j,
    "true": lambda: True,
    "false": lambda: False,
    "text of a number": lambda: "1e400",
    "other digits": lambda: "\u0661\u0662",
    "bytes": lambda: b"bytes",
    "surrogate": lambda: "a\ud800",
    "NUL": lambda: "a\0b",
    "right to left": lambda: "\u202etxt.exe",
    "control": lambda: "\x1b[2J\r\n",
    "path": lambda: "../../etc/passwd",
    "option": lambda: "--help",
    "URL": lambda: "sqlite:////nowhere/x",
    "256 characters": lambda: "x" * 256,
    "a million characters": lambda: "x" * 10**6,
    "JSON": lambda: '{"class": "Volume"}',
    "list": list,
    "list of None": lambda: [None],
    "deep list": lambda: _deep(10_000),
    "dict": dict,
    "dict of numbers": lambda: {1: 2},
    "dict of objects": lambda: {"a": object()},
    "dict of surrogates": lambda: {"\ud800": "\ud800"},
    "tuple": lambda: (),
    "set": lambda: {"a"},
    "iterator": lambda: iter("ab"),
    "object": object,
    "class": lambda: int,
    "function": lambda: print,
    "raises when shown": lambda: _Unshowable(),
    "raises when tested": lambda: _Untestable(),
}


class _Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("this object cannot be shown")

    __str__ = __repr__


class _Untestable:
    """As some arrays of numbers are."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value of this object is ambiguous")

    def __eq__(self, other: object) -> bool:
        raise ValueError("this object cannot be compared")

    __hash__ = None  # type: ignore[assignment]


def _deep(levels: int) -> list[Any]:
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found
