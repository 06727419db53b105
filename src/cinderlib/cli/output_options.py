"""The options that choose the output format: ``-o`` and the options of tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cinderlib.cli.app import App
from cinderlib.cli.form import Form
from cinderlib.cli.view import View

F = TypeVar("F", bound=Callable[..., Any])


def _form(ctx: click.Context) -> Form:
    return ctx.ensure_object(App).form


def choose_format(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """The callback of ``-o`` and ``--json``."""
    if not value:
        return
    form = _form(ctx)
    wanted = "json" if value is True else str(value)
    if form.format and form.format != wanted:
        raise click.UsageError(f"Choose one output format: {form.format} or {wanted}.", ctx)
    form.format = wanted


def _store(name: str, value_of: Callable[[Any], Any]) -> Callable[..., None]:
    def store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            setattr(_form(ctx), name, value_of(value))

    return store


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise click.BadParameter("expected names, separated by commas")
    return names


def output_option(formats: tuple[str, ...]) -> click.Option:
    """``-o``."""
    return click.Option(
        ["-o", "--output", "output_format"],
        type=click.Choice(formats),
        metavar="FORMAT",
        help=f"The output format: {', '.join(formats[:-1])} or {formats[-1]}.",
        expose_value=False,
        callback=choose_format,
    )


_COLUMNS = click.option(
    "--columns",
    metavar="NAMES",
    help="Write only these fields of the JSON output, separated by commas.",
    expose_value=False,
    callback=_store("columns", _names),
)
_BYTES = click.option(
    "--bytes",
    is_flag=True,
    help="Write sizes in bytes.",
    expose_value=False,
    callback=_store("bytes", bool),
)
_NULLS = click.option(
    "--nulls",
    is_flag=True,
    help="Include fields without a value in JSON and YAML.",
    expose_value=False,
    callback=_store("nulls", bool),
)
_HEADERS = click.option(
    "--no-headers",
    is_flag=True,
    help="Omit the line with the names of the columns.",
    expose_value=False,
    callback=_store("headers", lambda given: False),
)
_SORT = click.option(
    "--sort",
    metavar="NAMES",
    help="Sort by these fields, separated by commas; -NAME reverses the order.",
    expose_value=False,
    callback=_store("sort", _names),
)
_LIMIT = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Write at most this number of items.",
    expose_value=False,
    callback=_store("limit", int),
)


def _with(view: View, *options: Callable[[F], F]) -> Callable[[F], F]:
    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        function.__dict__["view"] = view
        return function

    return add


def listing(view: View) -> Callable[[F], F]:
    """Add the output options to a verb that lists items."""
    return _with(view, _COLUMNS, _SORT, _LIMIT, _HEADERS, _BYTES, _NULLS)


def single(view: View) -> Callable[[F], F]:
    """Add the output options to a verb that shows one item."""
    return _with(view, _COLUMNS, _HEADERS, _BYTES, _NULLS)


#: The names of the parameters of the output options.
OPTIONS = frozenset({"output_format", "columns", "sort", "limit", "no_headers", "bytes", "nulls"})
