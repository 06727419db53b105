"""Writes results: tables and details for people, JSON for programs."""

from __future__ import annotations

import datetime
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

_COLOURS = {
    "available": "green",
    "in-use": "cyan",
    "attached": "cyan",
    "ok": "green",
    "yes": "green",
    "finished": "green",
    "repaired": "green",
    "removed": "green",
    "undone": "yellow",
    "skipped": "yellow",
    "failed": "red",
    "no": "red",
}


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows in aligned columns. Columns that are empty in all rows are omitted."""
    cells = [[text(cell) for cell in row] for row in rows]
    if not cells:
        return
    kept = [i for i in range(len(header)) if i == 0 or any(row[i] for row in cells)]
    widths = {i: max(_width(row[i]) for row in [header, *cells]) for i in kept}
    widths[kept[-1]] = 0
    click.echo(_line([click.style(_pad(header[i], widths[i]), bold=True) for i in kept]))
    for row in cells:
        click.echo(_line([_coloured(row[i], _pad(row[i], widths[i])) for i in kept]))


def details(facts: Mapping[str, Any]) -> None:
    """Write one fact in each line, with aligned names. Empty facts are omitted."""
    shown = {name: text(value) for name, value in facts.items()}
    shown = {name: value for name, value in shown.items() if value}
    width = max(map(_width, shown), default=0)
    for name, value in shown.items():
        lines = value.splitlines()
        click.echo(f"{click.style(_pad(name, width), bold=True)}  {_coloured(value, lines[0])}")
        for line in lines[1:]:
            click.echo(" " * (width + 2) + line)


def facts_of(resource: Any, facts: Mapping[str, Any]) -> None:
    """Write the details of a resource: the values that are set, and times in local time."""
    times = ("created_at", "updated_at", "launched_at", "attached_at")
    shown = {
        name: getattr(resource, name) if name in times else value
        for name, value in facts.items()
        if name not in ("version", "provider_auth") and value not in (None, False)
    }
    details(shown)


def attribute(resource: Any, name: str) -> Any:
    """An attribute of a resource; ``'***'`` if it is encrypted and its key is not configured, so
    that the other attributes can be shown without the key."""
    from cinderlib.errors import DecryptionError

    try:
        return getattr(resource, name)
    except DecryptionError:
        return "***"


def device(path: Any, state: str | None) -> Any:
    """A device, and its state if it is not present any more or has changed."""
    words = {"gone": "gone", "another": "another device", "unknown": "state unknown"}
    return f"{path} ({words[state]})" if path and state in words else path


def as_json(data: Any) -> None:
    """Write a JSON document."""
    click.echo(json.dumps(data, indent=2, default=_plain, ensure_ascii=_lacks_characters()))


def as_json_list(items: Iterable[Any]) -> None:
    """Write a JSON list item by item, so that a long list does not fill the memory."""
    click.echo("[", nl=False)
    between = "\n"
    plain = _lacks_characters()
    for item in items:
        click.echo(between + json.dumps(item, default=_plain, ensure_ascii=plain), nl=False)
        between = ",\n"
    click.echo("]" if between == "\n" else "\n]")


def _lacks_characters() -> bool:
    """Whether standard output is in an encoding that has only some characters."""
    return "utf" not in (sys.stdout.encoding or "").lower()


def text(value: Any) -> str:
    """The text of a value in a cell, with control characters in visible form."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Mapping):
        return "\n".join(
            f"{key}={text(item).replace(chr(10), ', ')}" for key, item in value.items()
        )
    if isinstance(value, list | tuple):
        return "\n".join(text(item) for item in value)
    return "\n".join(map(_visible, str(value).split("\n")))


def message(value: str) -> str:
    """A message or a question in one line, with control characters in visible form."""
    return _visible(" ".join(value.split()))


def _visible(value: str) -> str:
    # Other users choose names: do not write their escape sequences to the terminal.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


def _line(cells: list[str]) -> str:
    return "  ".join(cells)


def _characters(value: str) -> Iterator[int]:
    for character in value:
        if not unicodedata.combining(character):
            yield 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _width(value: str) -> int:
    return sum(_characters(value))


def _pad(value: str, width: int) -> str:
    return value + " " * (width - _width(value))


def _coloured(value: str, shown: str) -> str:
    colour = "red" if value.startswith("error") else _COLOURS.get(value)
    return click.style(shown, fg=colour) if colour else shown
