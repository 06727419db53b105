"""The fields of an item in tables, CSV and other formats.

Items are the plain objects of the JSON output. A view selects some of their fields, so that JSON
always has at least the fields of the table. The name of a field shows its type: ``size`` is in GiB,
``*_bytes`` in bytes, ``*_at`` is a time, ``id`` and ``*_id`` are IDs.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

from cinderlib.cli import output, sizes
from cinderlib.cli.form import Form

Item = Mapping[str, Any]

_GIB = 1024**3


@dataclasses.dataclass(frozen=True)
class View:
    """The columns of a kind of items.

    :ivar items: name of the items in the plural, for messages.
    :ivar columns: fields of the table.
    :ivar wide: further fields with ``-o wide``.
    :ivar named: fields of which ``-o name`` writes the first that has a value.
    :ivar titles: titles of columns that are not the name of the field.
    :ivar cells: functions that return the cell of a table for an item, for columns whose cell is
        not only the value of the field.
    :ivar firm: fields whose cells are never shortened.
    :ivar prose: a field with sentences, which are wrapped.
    :ivar fields: further fields that items can have, so that ``--columns`` accepts them even if
        no item has a value. With ``any_field``, every name is accepted.
    """

    items: str
    columns: tuple[str, ...]
    wide: tuple[str, ...] = ()
    named: tuple[str, ...] = ("name", "id")
    titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cells: Mapping[str, Callable[[Item], Any]] = dataclasses.field(default_factory=dict)
    firm: frozenset[str] = frozenset()
    prose: str = ""
    fields: tuple[str, ...] = ()
    any_field: bool = False

    def chosen(self, form: Form) -> tuple[str, ...]:
        """The fields to write.

        :raises click.UsageError: ``--columns`` has the name of an unknown field.
        """
        self.check(form)
        if form.columns:
            return tuple(map(self.field, form.columns))
        return self.columns + (self.wide if form.format == "wide" else ())

    def check(self, form: Form) -> None:
        """:raises click.UsageError: ``--columns`` or ``--sort`` has an unknown field."""
        known = dict.fromkeys((*self.columns, *self.wide, *self.fields))
        for name in (*form.columns, *(each.removeprefix("-") for each in form.sort)):
            if not self.any_field and self.field(name) not in known:
                near = difflib.get_close_matches(name.lower(), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"
                raise click.UsageError(f"Unknown column {name!r}; {hint}")

    def field(self, name: str) -> str:
        """The name of a field, from its name or its title in any case."""
        name = name.lower()
        titles = {title.lower(): field for field, title in self.titles.items()}
        return titles.get(name, name) if name not in self.fields else name

    def sort_field(self, name: str) -> str:
        """A name of ``--sort`` as the name of a field, with its ``-``."""
        field = self.field(name.removeprefix("-"))
        return f"-{field}" if name.startswith("-") else field

    def title(self, name: str) -> str:
        """The title of a column of a table."""
        return self.titles.get(name) or name.removesuffix("_at").upper().replace("_", " ")

    def cell(self, name: str, item: Item, form: Form) -> str:
        """The text of a field in a table."""
        if name in self.cells:
            return output.text(self.cells[name](item)).replace("\n", ", ")
        return output.text(shown(name, item.get(name), form)).replace("\n", ", ")

    def name_of(self, item: Item) -> str:
        """The name of an item, or its ID if it has no name."""
        return next((str(item[name]) for name in self.named if item.get(name)), "")


def shown(name: str, value: Any, form: Form) -> Any:
    """The value of a field for people: sizes with units, times in local time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if is_gib(name):
            return str(round(value * _GIB)) if form.bytes else sizes.of_gib(value)
        if name.endswith("_bytes"):
            return str(value) if form.bytes else sizes.of_bytes(value)
        if name.endswith("_percent"):
            return f"{value:.0f}%"
    if name.endswith("_at") and isinstance(value, str):
        return datetime.datetime.fromisoformat(value)
    return value


def is_gib(name: str) -> bool:
    """Whether a field is a size in GiB."""
    return name in ("size", "volume_size")


def is_id(name: str) -> bool:
    """Whether a field is an ID."""
    return name == "id" or name.endswith("_id")


def exact_name(name: str) -> str:
    """The name of a field in CSV, where sizes are in bytes."""
    return f"{name}_bytes" if is_gib(name) else name


def exact(name: str, value: Any) -> str:
    """The value of a field in CSV and ``-o value``: sizes in bytes, times in RFC 3339."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_gib(name) and isinstance(value, int | float):
        return str(round(value * _GIB))
    if isinstance(value, Mapping):
        return ",".join(f"{key}={exact('', each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ",".join(exact("", each) for each in value)
    return str(value)


def ordered(items: Iterable[Item], names: Iterable[str]) -> list[Item]:
    """Sort items by fields; items without a value come last.

    :param names: names of fields; ``-`` before a name reverses its order.
    """
    found = list(items)
    for name in reversed(list(names)):
        field = name.removeprefix("-")
        present = [item for item in found if item.get(field) is not None]
        absent = [item for item in found if item.get(field) is None]
        present.sort(key=lambda item: _order(item[field]), reverse=name != field)
        found = present + absent
    return found


def _order(value: Any) -> tuple[int, Any]:
    if isinstance(value, int | float):
        return 0, value
    return 1, exact("", value).casefold()
