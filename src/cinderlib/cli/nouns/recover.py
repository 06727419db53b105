"""``cinderlib recover``."""

from __future__ import annotations

import dataclasses

import click

from cinderlib.cli import exits, output
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app


@click.command(cls=Command)
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
                app.backend(name)
            except CinderlibError as error:
                unloaded[name] = error
                click.echo(
                    f"Cannot load backend {output.message(name[:80])}: {exits.one_line(error)}",
                    err=True,
                )
        recovered = controller.recover()
    if app.as_json:
        output.as_json([dataclasses.asdict(item) for item in recovered])
    else:
        rows = [(i.operation, i.resource_id, i.backend, i.outcome, i.reason) for i in recovered]
        output.table(("OPERATION", "RESOURCE", "BACKEND", "OUTCOME", "REASON"), rows)
        app.say_empty(rows, "interrupted operations")
    if unloaded or any(item.outcome == "failed" for item in recovered):
        click.get_current_context().exit(1)
