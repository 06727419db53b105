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


def line(cells: Sequence[str], widths: Sequence[int], kept: Sequence[int], *, title: bool) -> None:
    """Write a row of a table, with aligned cells.

    :param widths: of all columns of the table.
    :param kept: the columns of the cells.
    :param title: whether these are the titles.
    """
    while len(cells) > 1 and not cells[-1]:
        cells, kept = cells[:-1], kept[:-1]
    aligned = [
        _pad(cell, widths[i]) if i != kept[-1] else cell
        for cell, i in zip(cells, kept, strict=True)
    ]
    if title:
        click.echo("  ".join(click.style(cell, bold=True) for cell in aligned))
    else:
        coloured = [_coloured(cell, shown) for cell, shown in zip(cells, aligned, strict=True)]
        click.echo("  ".join(coloured))


def details(facts: Mapping[str, Any]) -> None:
    """Write one fact in each line, with aligned names. Empty facts are omitted."""
    shown = {name: text(value) for name, value in facts.items()}
    shown = {name: value for name, value in shown.items() if value}
    widest = max(map(width, shown), default=0)
    for name, value in shown.items():
        lines = value.splitlines()
        click.echo(f"{click.style(_pad(name, widest), bold=True)}  {_coloured(value, lines[0])}")
        for line in lines[1:]:
            click.echo(" " * (widest + 2) + line)


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


def can_write(text: str) -> bool:
    """Whether the encoding of standard output has the characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


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
    return "\n".join(map(visible, str(value).split("\n")))


def message(value: str) -> str:
    """A message or a question in one line, with control characters in visible form."""
    return visible(" ".join(value.split()))


def visible(value: str) -> str:
    """A text in one line, with control characters in visible form."""
    # Other users choose names: do not write their escape sequences to the terminal.
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in value)


def plain_data(data: Any) -> Any:
    """Data with only the types of JSON."""
    return json.loads(json.dumps(data, default=_plain))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)


def _characters(value: str) -> Iterator[int]:
    for character in value:
        if not unicodedata.combining(character):
            yield 2 if unicodedata.east_asian_width(character) in "WF" else 1


def width(value: str) -> int:
    """The width of a text on a terminal, in characters."""
    return sum(_characters(value))


def _pad(value: str, wide: int) -> str:
    return value + " " * (wide - width(value))


def _coloured(value: str, shown: str) -> str:
    colour = "red" if value.startswith("error") else _COLOURS.get(value)
    return click.style(shown, fg=colour) if colour else shown
