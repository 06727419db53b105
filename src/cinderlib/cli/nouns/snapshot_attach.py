"""The verbs of ``cinderlib snapshot`` that attach snapshots and map them to hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, documents, find, items, options, output, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single

if TYPE_CHECKING:
    import cinderlib as cl

_snapshot = click.argument("snapshot", shell_complete=completing.snapshots)


def _item(connection: cl.Connection) -> dict[str, Any]:
    return {
        **items.connection(connection, connection.volume.name),
        "changed": connection.changed,
    }


@click.command("attach", cls=Command)
@_snapshot
@options.cgroup
@options.wait
@single(views.CONNECTIONS)
@pass_app
def attach(app: App, snapshot: str, cgroup: str | None) -> None:
    """Attach a snapshot to this host, read-only, and print its device.

    If the driver cannot map snapshots, a temporary volume is created from the snapshot. `snapshot
    detach` deletes it.
    """
    found = find.snapshot(app.controller, snapshot)
    with app.working(f"Attaching snapshot {snapshot}"):
        app.backend_of(found)
        connection = app.patiently(lambda: found.attach(cgroup=cgroup))
    if not isinstance(connection.path, str):
        found.detach()
        raise click.ClickException(
            f"On this host, {connection.protocol} has no device, but a handle of the process:"
            " attach the snapshot in a program"
        )
    already = "" if connection.changed else " already"
    app.say(f"Snapshot {snapshot} is{already} attached.")
    app.result(_item(connection), connection.path)


@click.command("detach", cls=Command)
@_snapshot
@options.force("Detach even if programs use the device.")
@options.wait
@single(views.SNAPSHOTS)
@pass_app
def detach(app: App, snapshot: str, force: bool, yes: bool) -> None:
    """Detach a snapshot from this host and disconnect it."""
    rule = find.rule_to_destroy(yes=yes) if force else find.ANY
    found = find.snapshot(app.controller, snapshot, rule)
    what = f"detach snapshot {find.label(found)} even if it is in use"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    with app.working(f"Detaching snapshot {snapshot}"):
        app.backend_of(found)
        app.patiently(lambda: found.detach(force=force))
    app.say(f"Detached snapshot {snapshot} from this host.")
    volume = app.controller.peek_volume(found.volume_id)
    name = volume.name if volume is not None and volume.name else found.volume_id
    app.result({**items.snapshot(found, name), "changed": found.changed}, None)


@click.command("connect", cls=Command)
@_snapshot
@options.mapped_host
@options.wait
@pass_app
def connect(app: App, snapshot: str, connector: Any, node: str | None) -> None:
    """Map a snapshot to a host, read-only.

    The output is the document that the host needs to attach it, with keys (CHAP, cephx) if the
    protocol uses them. `connection disconnect` unmaps it.
    """
    if (connector is None) == (node is None):
        raise click.UsageError("Specify the host with --connector or --node.")
    found = find.snapshot(app.controller, snapshot)
    properties = documents.read(connector) if node is None else app.controller.node(node)
    with app.working(f"Mapping snapshot {snapshot}"):
        app.backend_of(found)
        host = properties.get("host")
        connection = app.patiently(lambda: found.connect(properties, attached_host=host))
    already = "" if connection.changed else " already"
    app.say(f"Snapshot {snapshot} is{already} mapped to {properties.get('host', 'the host')}.")
    output.as_json(connection.connection_info)
