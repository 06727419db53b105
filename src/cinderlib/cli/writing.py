"""Writes items in the chosen output format."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click

from cinderlib.cli import output, tables
from cinderlib.cli.form import Form
from cinderlib.cli.view import Item, View, exact, exact_name, is_id, ordered, shown

#: Fields that people do not need: the size is also in GiB.
_HIDDEN = ("version", "size_bytes", "volume_size_bytes", "provider_auth")


def document(data: Any, form: Form) -> None:
    """Write data as JSON, or as YAML with ``-o yaml``."""
    data = data if form.nulls else without_nulls(data)
    if form.format == "yaml":
        _yaml(data)
    else:
        output.as_json(data)


def listing(view: View, items: Iterable[Item], form: Form) -> int:
    """Write items.

    :returns: the number of items.
    """
    if form.sort:
        items = ordered(items, [view.sort_field(name) for name in form.sort])
    if form.limit is not None:
        items = itertools.islice(items, form.limit)
    counted = _Counted(items)
    if form.structured:
        _structured(view, counted, form)
    elif form.format == "name":
        for item in counted:
            click.echo(output.visible(view.name_of(item)))
    elif form.format in ("csv", "value"):
        _values(view, counted, form)
    else:
        _table(view, list(counted), form)
    return counted.number


def single(view: View, item: Item, form: Form) -> None:
    """Write one item: with a fact in each line, unless another format was chosen."""
    names = view.chosen(form)
    if form.structured:
        document(_selected(names, item) if form.columns else item, form)
    elif form.format == "value":
        for name in names:
            click.echo(output.visible(exact(name, item.get(name))))
    elif form.for_people:
        chosen = names if form.columns else tuple(each for each in item if each not in _HIDDEN)
        output.details({name: _fact(view, name, item, form) for name in chosen})
    else:
        listing(view, [item], form)


def _fact(view: View, name: str, item: Item, form: Form) -> Any:
    value = view.cells[name](item) if name in view.cells else shown(name, item.get(name), form)
    # Most fields of a resource do not apply to it.
    return None if value is False and not form.columns else value


class _Counted:
    def __init__(self, items: Iterable[Item]) -> None:
        self._items = items
        self.number = 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            self.number += 1
            yield item


def _selected(names: Iterable[str], item: Item) -> Item:
    """Some fields of an item; a size in GiB is also returned in bytes."""
    selected = {}
    for name in names:
        selected[name] = item.get(name)
        in_bytes = exact_name(name)
        if in_bytes in item:
            selected[in_bytes] = item[in_bytes]
    return selected


def _structured(view: View, items: Iterable[Item], form: Form) -> None:
    if form.columns:
        names = view.chosen(form)
        items = (_selected(names, item) for item in items)
    if not form.nulls:
        items = map(without_nulls, items)
    if form.format == "yaml":
        _yaml(list(items))
    else:
        output.as_json_list(items)


def without_nulls(value: Any) -> Any:
    """Data without the fields that have no value."""
    if isinstance(value, Mapping):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [without_nulls(each) for each in value]
    return value


def _yaml(data: Any) -> None:
    import yaml

    # Only JSON's types, such as texts instead of times.
    plain = output.plain_data(data)
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=output.can_write("…"))
    click.echo(text, nl=False)


def _values(view: View, items: Iterable[Item], form: Form) -> None:
    names = view.chosen(form)
    if form.format == "value":
        for item in items:
            click.echo("\t".join(output.visible(exact(name, item.get(name))) for name in names))
        return
    import csv

    # Other users choose names: do not write their escape sequences to the terminal.
    cell = output.text if sys.stdout.isatty() else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if form.headers:
        writer.writerow(map(exact_name, names))
    for item in items:
        writer.writerow([cell(exact(name, item.get(name))) for name in names])


def _table(view: View, items: list[Item], form: Form) -> None:
    """Columns that are empty in all rows are omitted, unless they were chosen."""
    if not items:
        return
    names = view.chosen(form)
    columns = [[view.cell(name, item, form) for item in items] for name in names]
    kept = [i for i in range(len(names)) if form.columns or i == 0 or any(columns[i])]
    names = tuple(names[i] for i in kept)
    columns = [columns[i] for i in kept]
    limit = None if form.format == "wide" else tables.width()
    if limit is not None:
        for i, name in enumerate(names):
            if is_id(name):
                columns[i] = tables.short_ids(columns[i])
    tables.write(
        [view.title(name) for name in names],
        list(zip(*columns, strict=True)),
        firm=[is_id(name) or name.endswith("_at") or name in view.firm for name in names],
        prose=names[-1] == view.prose,
        headers=form.headers,
        limit=limit,
    )
