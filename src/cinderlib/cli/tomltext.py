"""Writes configurations as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any


def tables(data: Mapping[str, Any]) -> Iterator[str]:
    """The tables of a configuration, as TOML."""
    for name, table in data.items():
        nested = (
            {f"{name}.{key_text(k)}": v for k, v in table.items()} if name == "backends" else {}
        )
        for title, entries in (nested or {name: table}).items():
            yield f"\n[{title}]"
            yield from (f"{key_text(key)} = {value_text(value)}" for key, value in entries.items())


def key_text(key: str) -> str:
    """A key as TOML."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else value_text(key)


def value_text(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key_text(k)} = {value_text(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, str | bool | int | float):
        # A TOML string has the syntax of a JSON string, except for one character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)  # dates
