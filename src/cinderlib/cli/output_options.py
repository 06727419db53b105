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


def _option(
    name: str, stored_as: str, value_of: Callable[[Any], Any], help: str, **how: Any
) -> Callable[[F], F]:
    """
    :param stored_as: the attribute of the :class:`Form`.
    :param value_of: returns the value of the attribute for that of the option.
    """
    callback = _store(stored_as, value_of)
    return click.option(name, help=help, expose_value=False, callback=callback, **how)


_COLUMNS = _option(
    "--columns",
    "columns",
    _names,
    "Write only these fields of the JSON output, separated by commas.",
    metavar="NAMES",
)
_BYTES = _option("--bytes", "bytes", bool, "Write sizes in bytes.", is_flag=True)
_NULLS = _option(
    "--nulls", "nulls", bool, "Include fields without a value in JSON and YAML.", is_flag=True
)
_HEADERS = _option(
    "--no-headers",
    "headers",
    lambda given: False,
    "Omit the line with the names of the columns.",
    is_flag=True,
)
_SORT = _option(
    "--sort",
    "sort",
    _names,
    "Sort by these fields, separated by commas; -NAME reverses the order.",
    metavar="NAMES",
)
_LIMIT = _option(
    "--limit",
    "limit",
    int,
    "Write at most this number of items.",
    type=click.IntRange(min=1),
    metavar="NUMBER",
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
