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
    """Finish or undo what was interrupted: by a crash, Ctrl-C, or a store that failed.

    Ends with 1 when something could not be settled; it stays recorded and can be tried again.
    """
    from cinderlib.errors import CinderlibError

    controller = app.controller
    unloaded = {}
    with app.working("Recovering"):
        for name in app.configuration.backends if app.has_store else ():
            try:
                # Loading a backend settles what is its own, unless that is switched off.
                app.backend(name)
            except CinderlibError as error:
                unloaded[name] = error
                click.echo(f"Backend {name} cannot be loaded: {exits.one_line(error)}", err=True)
        settled = controller.recover()
    if app.as_json:
        output.as_json([dataclasses.asdict(item) for item in settled])
    else:
        rows = [(i.operation, i.resource_id, i.backend, i.outcome, i.reason) for i in settled]
        output.table(("OPERATION", "OF", "BACKEND", "OUTCOME", "WHY"), rows)
        app.say_empty(rows, "interrupted operations")
    if unloaded or any(item.outcome == "failed" for item in settled):
        click.get_current_context().exit(1)
