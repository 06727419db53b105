"""Verbs that cannot be undone: ``--yes``, ``--dry-run``, and the question."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cinderlib.cli.app import App

F = TypeVar("F", bound=Callable[..., Any])

DRY_RUN = "Show the changes without making them."


def destructive(function: F) -> F:
    """Add ``--yes`` and ``--dry-run`` to a verb."""
    for option in (
        click.option("--dry-run", is_flag=True, help=DRY_RUN),
        click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation."),
    ):
        function = option(function)
    return function


def agreed(what: str, *, yes: bool, dry_run: bool) -> bool:
    """Request confirmation of an operation that cannot be undone.

    Without a terminal, ``--yes`` is required.

    :param what: the operation, for example ``'delete volume x'``.
    :returns: ``False`` with ``--dry-run``, after the operation is shown.
    """
    from cinderlib.cli import output

    what = output.message(what)
    if dry_run:
        app = click.get_current_context().find_object(App)
        if app is not None and app.as_json:
            app.write({"planned": what, "changed": False})
        else:
            click.echo(f"Would {what}.", err=True)
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        from cinderlib.errors import InvalidInput

        raise InvalidInput(f"This would {what}. Add --yes to confirm.")
    if not click.confirm(f"{what[0].upper()}{what[1:]}?", err=True):
        click.echo("Not confirmed; nothing changed.", err=True)
        click.get_current_context().exit(6)
    return True
