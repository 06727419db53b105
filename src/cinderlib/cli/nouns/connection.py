"""``cinderlib connection``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from cinderlib.cli import completing, find, options, output
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.framework import Group, agreed, pass_app

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
@pass_app
def list_(app: App, backend: str | None, volume: str | None, host: str | None) -> None:
    """List connections, oldest first, without their keys."""
    found: Iterator[cl.Connection] = app.controller.connections(backend=app.on_backend(backend))
    if volume is not None:
        of = find.volume(app.controller, volume).id
        found = (item for item in found if item.volume_id == of)
    if host is not None:
        found = (item for item in found if host in hosts_of(item))
    if app.as_json:
        output.as_json_list(item.to_dict() for item in found)
        return
    names = {item.id: item.name for item in app.controller.volumes(backend=backend)}
    rows = [
        (
            item.id,
            names.get(item.volume_id) or item.volume_id,
            host_of(item),
            output.attribute(item, "protocol"),
            item.attach_mode,
            "attached" if item.attached else "mapped" if item.connected else item.status,
            output.device(output.attribute(item, "path"), item.device_state),
            backend_name(item),
        )
        for item in found
    ]
    header = ("ID", "VOLUME", "HOST", "PROTOCOL", "MODE", "STATE", "DEVICE", "BACKEND")
    output.table(header, rows)
    app.say_empty(rows, "connections")


def host_of(connection: cl.Connection) -> str:
    """The name of the host of a connection."""
    return next(iter(hosts_of(connection)), "")


def hosts_of(connection: cl.Connection) -> list[str]:
    """All names of the host of a connection: from the connector, and from the attachment."""
    names = (connection.connector_info.get("host"), connection.attached_host)
    return list(dict.fromkeys(name for name in names if name))


@connection.command("show")
@click.argument("connection", shell_complete=completing.connections)
@click.option(
    "--document", is_flag=True, help="Write the document for `node attach`, with its keys."
)
@pass_app
def show(app: App, connection: str, document: bool) -> None:
    """Show the details of a connection, without its keys."""
    found = find.connection(app.controller, connection)
    if document:
        output.as_json(found.connection_info)
    elif app.as_json:
        output.as_json(found.to_dict())
    else:
        facts = found.to_dict()
        facts.update(
            protocol=output.attribute(found, "protocol"),
            path=output.device(output.attribute(found, "path"), facts.pop("device_state")),
        )
        facts.pop("conn_info"), facts.pop("device")
        output.facts_of(found, facts)


@connection.command("disconnect")
@click.argument("connection", shell_complete=completing.connections)
@options.force("Disconnect even if the volume is attached or the driver fails.")
@pass_app
def disconnect(app: App, connection: str, force: bool, yes: bool) -> None:
    """Unmap a volume from the connection's host. Detach it on that host first."""
    rule = find.rule_to_destroy(yes=yes or not force)
    found = find.connection(app.controller, connection, rule)
    what = f"unmap volume {found.volume_id} from {host_of(found) or 'the host'}, even if it is used"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    with app.working("Unmapping"):
        app.backend_of(found)
        found.disconnect(force)
    app.say(f"Unmapped volume {found.volume_id} from {host_of(found) or 'the host'}.")
    if app.as_json:
        output.as_json({"id": found.id, "changed": found.changed})
