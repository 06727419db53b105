"""``cinderlib node``: the host that uses volumes. It needs no backend, and usually no store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import completing, documents, find, node_items, options, output, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.nouns import node_boot, volume_attach
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    import cinderlib as cl
    from cinderlib.node import Leftover


@click.group(cls=Group)
def node() -> None:
    """Attach and detach mapped volumes on this host."""


for _verb in (node_boot.persist, node_boot.unpersist, node_boot.attach_all, node_boot.fstab):
    node.add_command(_verb)

_protocol = click.option(
    "--protocol", help="Collect only the properties for this protocol, for example iscsi; faster."
)


@node.command("connector")
@_protocol
@pass_app
def connector(app: App, protocol: str | None) -> None:
    """Write the connector properties of this host.

    The output is JSON for `volume connect`.
    """
    output.as_json(app.node.connector_properties(protocol))


@node.command("register")
@click.argument("name")
@_protocol
@pass_app
def register(app: App, name: str, protocol: str | None) -> None:
    """Register this host in the store, or in the service of [node].

    It stores the connector properties for `volume connect --node NAME`.
    """
    if app.node_client is not None:
        app.node_client.register(name, protocol)
    else:
        app.may_create_store()
        app.node.register(app.controller, name, protocol)
    app.say(f"Registered this host as {name}.")
    if app.as_json:
        app.write({"name": name})


@node.command("list")
@listing(views.ATTACHMENTS)
@click.option(
    "--persistent",
    is_flag=True,
    help="Only volumes that are attached again after each boot, also those that are not attached.",
)
@pass_app
def list_(app: App, persistent: bool) -> None:
    """List the volumes that are attached on this host."""
    app.list_items(node_items.listed(app.node, persistent_only=persistent))


@node.command("attach")
@click.argument("volume")
@options.persist
@options.cgroup
@single(views.ATTACHMENTS)
@pass_app
def attach(app: App, volume: str, persist: bool, cgroup: str | None) -> None:
    """Attach a volume and print its device.

    VOLUME is a file with the output of `volume connect`; - reads standard input. With a service in
    [node] of the configuration, VOLUME is the ID or name of a volume: the service connects it for
    this host. Repeat the command after an interruption.
    """
    if app.node_client is None or volume == "-" or os.path.isfile(volume):
        connection = documents.opened(volume)
        with app.working("Attaching"):
            attachment = app.node.attach(connection, cgroup=cgroup)
    else:
        with app.working("Attaching"):
            attachment = app.node_client.attach(volume, cgroup=cgroup)
    if not isinstance(attachment.path, str):
        raise errors.Unsupported(
            "On this host, this protocol has no device, but a handle of the process: attach the"
            " volume in a program, or install the kernel client of the protocol"
        )
    volume_attach.say_format(app, attachment)
    if persist:
        app.node.persistent.add(attachment.connection_info)
        node_boot.say_unit(app)
    device, changed = attachment.device, attachment.changed
    app.result(
        {**node_items.of_attachment(attachment), "device": device, "changed": changed},
        attachment.path,
    )


@node.command("detach")
@click.argument("attachment", shell_complete=completing.attachments)
@options.force("Detach even if the device is in use or unwritten data is lost.")
@options.wait
@pass_app
def detach(app: App, attachment: str, force: bool, yes: bool) -> None:
    """Detach a volume from this host.

    ATTACHMENT is a device, the ID of a connection or volume, or the beginning of such an ID (see
    `node list`). - reads the document of `volume connect` from standard input. --force requires the
    complete ID.

    With a service in [node] of the configuration, the service then disconnects the volume.
    """
    client = app.node_client
    rule = find.rule_to_destroy(yes=yes) if force else find.ANY
    document: dict[str, Any] | str
    try:
        document = node_items.document(app, attachment, rule)
    except errors.ConnectionNotFound:
        # An attach that was interrupted has a connection in the service, but no device.
        if client is None or not _is_connected(client, attachment):
            raise
        document = attachment
    if isinstance(document, dict) and not document.get("id"):
        # Of a controller that gave it no ID, for example cinderlib 5: no connection of the service.
        client = None
    connected = client is not None and _is_connected(client, document)
    what = f"detach {node_items.label(document, attachment)} even if it is in use"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    with app.working("Detaching"):
        of = app.node if client is None else client
        changed = app.patiently(lambda: of.detach(document, force=force))
    if connected:
        app.say("Detached and disconnected.")
    elif client is None:
        app.say("Detached. Now disconnect the volume on the controller.")
    else:
        app.say("Detached. The service has no such connection for this host.")
    if app.as_json:
        app.write({"attachment": attachment, "changed": changed})


def _is_connected(client: cl.NodeClient, detached: dict[str, Any] | str) -> bool:
    """Whether the service has a connection for this host.

    :param detached: a connection document, or the ID of a connection or volume.
    """
    wanted = detached if isinstance(detached, str) else detached["id"]
    return any(wanted in (each["id"], each["volume_id"]) for each in client.connections())


@node.command("extend")
@click.argument("attachment", shell_complete=completing.attachments)
@pass_app
def extend(app: App, attachment: str) -> None:
    """Resize the device of an extended volume.

    It prints the size in bytes.

    ATTACHMENT: see `node detach`.
    """
    size = app.node.extend(node_items.document(app, attachment))
    if app.as_json:
        app.write({"attachment": attachment, "size": size, "size_bytes": size})
    else:
        click.echo(str(size))


@node.command("leftovers")
@listing(views.LEFTOVERS)
@pass_app
def leftovers(app: App) -> None:
    """List leftovers of interrupted operations on this host."""
    found = app.node.leftovers()
    app.list_items(map(_leftover, found))


def _leftover(item: Leftover) -> dict[str, Any]:
    return {
        "key": item.key,
        "device": item.device,
        "connection_id": item.connection_id,
        "operation": item.operation,
        "users": list(item.users),
    }


@node.command("cleanup")
@destructive
@pass_app
def cleanup(app: App, yes: bool, dry_run: bool) -> None:
    """Remove unused leftovers of cinderlib on this host."""
    found = [item for item in app.node.leftovers() if not item.users]
    names = ", ".join(item.device or item.key for item in found)
    removed: list[Leftover] = []
    if not found:
        app.say("No leftovers to remove.")
    elif agreed(f"remove {names} from this host", yes=yes, dry_run=dry_run):
        with app.working("Removing leftovers"):
            removed = app.node.cleanup(found)
        app.say(f"Removed {len(removed)} of {len(found)} leftovers.")
    if app.as_json and not (found and dry_run):
        app.write([_leftover(item) for item in removed])
