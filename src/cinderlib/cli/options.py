"""Options that several verbs have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cinderlib.cli import completing

F = TypeVar("F", bound=Callable[..., Any])

backend = click.option(
    "--backend",
    metavar="NAME",
    help="The backend; may be left out for one.",
    shell_complete=completing.backends,
)


def _pairs(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    if not given:
        return None
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not like KEY=VALUE")
        pairs[key] = value
    return pairs


def pairs(option: str, name: str, help: str) -> Callable[[F], F]:
    """An option that takes ``KEY=VALUE`` and may be given several times."""
    return click.option(
        option,
        name,
        multiple=True,
        metavar="KEY=VALUE",
        callback=_pairs,
        help=f"{help} May be given several times.",
    )


def described(function: F) -> F:
    """``--description`` and ``--metadata``."""
    function = pairs("--metadata", "metadata", "Metadata to keep with it.")(function)
    return click.option("--description", help="A text to keep with it.")(function)


def force(help: str) -> Callable[[F], F]:
    """``--force``, and ``--yes`` for not being asked about it."""

    def give(function: F) -> F:
        function = click.option("-y", "--yes", is_flag=True, help="Force without asking.")(function)
        return click.option("--force", is_flag=True, help=help)(function)

    return give
