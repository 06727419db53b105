"""``cinderlib volume migrate``."""

from __future__ import annotations

import click

from cinderlib.cli import completing, find, items, views
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single


@click.command("migrate", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.option(
    "--backend",
    metavar="NAME",
    help="The backend to move the volume to; by default its own, with --pool.",
    shell_complete=completing.backends,
)
@click.option("--pool", help="The pool; by default the first one of another backend.")
@click.option(
    "--by-copy", is_flag=True, help="Copy the data on this host even if the driver can move it."
)
@single(views.VOLUMES)
@pass_app
def migrate(app: App, volume: str, backend: str | None, pool: str | None, by_copy: bool) -> None:
    """Move a volume to another backend or pool.

    It keeps its ID, name and metadata. The driver moves the data if it can; otherwise this host
    copies it. The volume must not be connected to a host or have snapshots.
    """
    if backend is None and pool is None:
        raise click.UsageError("Specify --backend or --pool.")
    found = find.volume(app.controller, volume)
    destination = backend_name(found) if backend is None else backend
    with app.working(f"Migrating {volume}"):
        app.backend_of(found)
        found.migrate(app.backend(destination), pool, by_copy=by_copy)
    where = f"backend {found.record.backend}, pool {found.host.partition('#')[2]}"
    if found.changed:
        app.say(f"Migrated volume {volume} to {where}.")
    else:
        app.say(f"Volume {volume} is already on {where}; nothing changed.")
    app.result({**items.volume(found), "changed": found.changed}, None)
