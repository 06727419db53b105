"""``cinderlib recover``."""

from __future__ import annotations

import dataclasses

import click

from cinderlib.cli import exits, output, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import listing


@click.command(cls=Command)
@listing(views.RECOVERED)
@pass_app
def recover(app: App) -> None:
    """Finish or undo interrupted operations.

    A crash, Ctrl-C or a failure of the store can interrupt operations.
    The exit code is 1 if the recovery of an operation failed. It remains recorded, and you can try
    again.
    """
    from cinderlib.errors import CinderlibError

    controller = app.controller
    unloaded = {}
    with app.working("Recovering"):
        for name in app.configuration.backends if app.has_store else ():
            try:
                # Loading a backend recovers its operations, unless that is disabled.
                _ = app.backend(name).driver_info  # a service loads it to answer
            except CinderlibError as error:
                unloaded[name] = error
                click.echo(
                    f"Cannot load backend {output.message(name[:80])}: {exits.one_line(error)}",
                    err=True,
                )
        recovered = controller.recover()
    app.list_items(map(dataclasses.asdict, recovered))
    if unloaded or any(item.outcome == "failed" for item in recovered):
        click.get_current_context().exit(1)
