"""``cinderlib connection``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cinderlib.cli import completing, find, items, options, output, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    import cinderlib as cl


@click.group(cls=Group)
def connection() -> None:
    """List, show and remove the connections of volumes to hosts."""


@connection.command("list")
@options.backend
@click.option(
    "--volume", help="List only connections of this volume.", shell_complete=completing.volumes
)
@click.option("--host", help="List only connections to this host.", shell_complete=completing.hosts)
@listing(views.CONNECTIONS)
@pass_app
def list_(app: App, backend: str | None, volume: str | None, host: str | None) -> None:
    """List connections, oldest first, without their keys."""
    found: Iterator[cl.Connection] = app.controller.connections(backend=app.on_backend(backend))
    if volume is not None:
        of = find.volume(app.controller, volume).id
        found = (item for item in found if item.volume_id == of)
    if host is not None:
        found = (item for item in found if host in items.hosts_of(item))
    names = items.Names(app.controller.volumes(backend=backend))
    app.list_items(items.connection(item, names[item.volume_id]) for item in found)


@connection.command("show")
@click.argument("connection", shell_complete=completing.connections)
@click.option(
    "--document", is_flag=True, help="Write the document for `node attach`, with its keys."
)
@single(views.CONNECTIONS)
@pass_app
def show(app: App, connection: str, document: bool) -> None:
    """Show the details of a connection, without its keys."""
    found = find.connection(app.controller, connection)
    if document:
        output.as_json(found.connection_info)
        return
    volume = app.controller.peek_volume(found.volume_id)
    app.show(items.connection(found, (volume and volume.name) or found.volume_id))


@connection.command("disconnect")
@click.argument("connection", shell_complete=completing.connections)
@options.force("Disconnect even if the volume is attached or the driver fails.")
@options.wait
@pass_app
def disconnect(app: App, connection: str, force: bool, yes: bool) -> None:
    """Unmap a volume from the connection's host. Detach it on that host first."""
    rule = find.rule_to_destroy(yes=yes or not force)
    found = find.connection(app.controller, connection, rule)
    host = items.host_of(found) or "the host"
    what = f"unmap volume {found.volume_id} from {host}, even if it is used"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    with app.working("Unmapping"):
        app.backend_of(found)
        app.patiently(lambda: found.disconnect(force))
    app.say(f"Unmapped volume {found.volume_id} from {host}.")
    if app.as_json:
        app.write({"id": found.id, "changed": found.changed})
