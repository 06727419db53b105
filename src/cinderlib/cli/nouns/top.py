"""``cinderlib top``."""

from __future__ import annotations

import sys
from typing import Any

import click

from cinderlib.cli import completing, overview, views, writing
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.seconds import Seconds

#: Seconds between two updates.
_INTERVAL = 2.0


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[BACKEND]...", shell_complete=completing.backends)
@click.option("--once", is_flag=True, help="Show it once, and end.")
@click.option(
    "--interval",
    type=Seconds(min=0.1, max=3600),
    default=_INTERVAL,
    show_default=True,
    metavar="SECONDS",
    help="The time between two updates. The storage is queried once a minute.",
)
@pass_app
def top(app: App, names: tuple[str, ...], once: bool, interval: float) -> None:
    """Show the capacity, the running operations and the problems.

    The display updates itself on a terminal, until q or Ctrl-C. By default, it shows all configured
    backends: the pools with their capacity, and the operations that have not ended. Problems are
    interrupted and failed operations, resources with errors, devices that disappeared, and
    differences between the store and the storage.
    """
    app.configuration.require_file()
    backends = list(dict.fromkeys(names)) or list(app.configuration.backends)
    for name in names:
        app.configuration.require_backend(name)
    app.only_observe()
    storage = overview.Storage(app)
    if once or app.form.format or not sys.stdout.isatty():
        with app.working("Querying the storage"):
            storage.query(backends)
        _write(app, overview.read(app, backends, storage))
        return
    from cinderlib.cli import screen

    assert app.controller is not None  # Messages about the configuration come before the screen.
    app.quiet = True
    screen.show(
        lambda: _write(app, overview.read(app, backends, storage)),
        lambda: storage.query(backends),
        interval,
    )


def _write(app: App, found: dict[str, Any]) -> None:
    if app.as_json:
        app.write(found)
        return
    sections = (
        ("Pools", "pools", views.TOP_POOLS),
        ("Operations", "operations", views.TOP_OPERATIONS),
        ("Attention", "attention", views.ATTENTION),
    )
    for title, name, view in sections:
        if name != "pools":
            click.echo()
        count = len(found[name])
        colour = "yellow" if name == "attention" and count else None
        click.echo(click.style(f"{title}: {count}", fg=colour, bold=True))
        writing.listing(view, found[name], app.form)
