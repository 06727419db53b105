"""``cinderlib volume migrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cinderlib.cli import completing, find, items, views
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single

if TYPE_CHECKING:
    import cinderlib as cl


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
@click.option(
    "--start",
    "step",
    flag_value="start",
    help="Only create the copy, which a hypervisor mirrors the volume to.",
)
@click.option(
    "--finish",
    "step",
    flag_value="finish",
    help="Let the copy, which has all data, become the volume, and delete the old data.",
)
@click.option("--cancel", "step", flag_value="cancel", help="Delete the copy.")
@single(views.VOLUMES)
@pass_app
def migrate(
    app: App,
    volume: str,
    backend: str | None,
    pool: str | None,
    by_copy: bool,
    step: str | None,
) -> None:
    """Move a volume to another backend or pool.

    It keeps its ID, name and metadata. The driver moves the data if it can; otherwise this host
    copies it. The volume must not be connected to a host or have snapshots.

    A hypervisor can move a volume in use: --start creates a copy. Connect it, mirror the data, use
    the copy, disconnect the volume, and call --finish.
    """
    is_end = step in ("finish", "cancel")
    if is_end == (backend is not None or pool is not None):
        raise click.UsageError(
            f"--{step} cannot be combined with --backend and --pool."
            if is_end
            else "Specify --backend or --pool."
        )
    if step and by_copy:
        raise click.UsageError(f"--{step} cannot be combined with --by-copy.")
    found = find.volume(app.controller, volume)
    if is_end:
        _end(app, found, volume, is_finish=step == "finish")
        return
    destination = backend_name(found) if backend is None else backend
    if step == "start":
        with app.working(f"Creating the copy of {volume}"):
            app.backend_of(found)
            copy = found.start_migration(app.backend(destination), pool)
        made = "Created" if found.changed else "Already created:"
        app.say(f"{made} the copy of volume {volume} on backend {copy.record.backend}.")
        app.result({**items.volume(copy), "changed": found.changed}, copy.id)
        return
    with app.working(f"Migrating {volume}"):
        app.backend_of(found)
        found.migrate(app.backend(destination), pool, by_copy=by_copy)
    where = f"backend {found.record.backend}, pool {found.host.partition('#')[2]}"
    if found.changed:
        app.say(f"Migrated volume {volume} to {where}.")
    else:
        app.say(f"Volume {volume} is already on {where}; nothing changed.")
    app.result({**items.volume(found), "changed": found.changed}, None)


def _end(app: App, found: cl.Volume, named: str, *, is_finish: bool) -> None:
    """Finish or cancel a migration."""
    with app.working(f"{'Finishing' if is_finish else 'Cancelling'} the migration of {named}"):
        app.backend_of(found)
        if found.migration_copy is not None:
            app.backend_of(found.migration_copy)
        if is_finish:
            found.finish_migration()
        else:
            found.cancel_migration()
    if found.changed:
        where = f"backend {found.record.backend}, pool {found.host.partition('#')[2]}"
        done = f"Migrated volume {named} to" if is_finish else f"Volume {named} stays on"
        app.say(f"{done} {where}.")
    else:
        app.say(f"Volume {named} is not being migrated; nothing changed.")
    app.result({**items.volume(found), "changed": found.changed}, None)
