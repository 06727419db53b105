"""The verbs of ``cinderlib node`` for attachments that return after each boot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import completing, exits, node_items, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import listing
from cinderlib.cli.seconds import Seconds
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    from cinderlib.node.boot import PersistentAttachment


@click.command("persist", cls=Command)
@click.argument("attachment", shell_complete=completing.attachments)
@pass_app
def persist(app: App, attachment: str) -> None:
    """Attach an attached volume again after each boot.

    The connection document, with its keys, is kept in a private folder of this host. The unit
    cinderlib-attach.service attaches the volume. A detach ends the persistence.

    ATTACHMENT: see `node detach`.
    """
    changed = app.node.persistent.add(node_items.document(app, attachment))
    already = "" if changed else " already"
    app.say(f"{attachment} is{already} attached again after each boot.")
    say_unit(app)
    if app.as_json:
        app.write({"attachment": attachment, "changed": changed})


def say_unit(app: App) -> None:
    """Report that systemd does not run the unit which attaches the volumes."""
    from cinderlib.node.checks.boot import UNIT
    from cinderlib.node.checks.host import Host

    host = Host()
    if host.has_systemd and not host.is_enabled(UNIT):
        app.say(f"Enable the unit that attaches it: systemctl enable {UNIT}")


@click.command("unpersist", cls=Command)
@click.argument("attachment", shell_complete=completing.attachments)
@pass_app
def unpersist(app: App, attachment: str) -> None:
    """Stop attaching a volume again after each boot.

    The volume stays attached until then.

    ATTACHMENT: see `node detach`.
    """
    changed = app.node.persistent.remove(node_items.document(app, attachment))
    already = "no longer" if changed else "not"
    app.say(f"{attachment} is {already} attached again after a boot.")
    if app.as_json:
        app.write({"attachment": attachment, "changed": changed})


@click.command("attach-all", cls=Command)
@click.option(
    "--wait",
    type=Seconds(),
    default=0,
    help="Repeat failed attempts for this many seconds.",
)
@listing(views.ATTACHMENTS)
@pass_app
def attach_all(app: App, wait: float) -> None:
    """Attach the persistent volumes of this host.

    The unit cinderlib-attach.service runs this after each boot. Attached volumes do not change. The
    exit code is 1 if a volume could not be attached. It stays persistent.
    """
    with app.working("Attaching"):
        found = app.node.persistent.attach(wait=wait)
    for each in found:
        if each.error is not None:
            click.echo(
                f"Cannot attach volume {_volume(each)}: {exits.one_line(each.error)}", err=True
            )
    attached = [each.attachment for each in found if each.attachment is not None]
    app.list_items(
        {**node_items.of_attachment(item), "persistent": True, "changed": item.changed}
        for item in attached
    )
    if any(each.error is not None for each in found):
        click.get_current_context().exit(1)


def _volume(each: PersistentAttachment) -> str:
    document = each.connection_info
    return str(document.get("volume", {}).get("id") or document.get("id") or "with unknown ID")


@click.command("fstab", cls=Command)
@click.argument("attachment", shell_complete=completing.attachments)
@click.argument("mount_point")
@click.option("--options", default="defaults", show_default=True, help="Mount options.")
@pass_app
def fstab(app: App, attachment: str, mount_point: str, options: str) -> None:
    """Print the line of /etc/fstab for the filesystem on a volume.

    systemd mounts the filesystem after the volume is attached. It must be persistent, see
    `node persist`.

    ATTACHMENT: see `node detach`.
    """
    from cinderlib.node import filesystems
    from cinderlib.node.checks.boot import UNIT

    if not os.path.isabs(mount_point):
        raise errors.InvalidInput(
            f"The mount point must be an absolute path, not {shown(mount_point)}",
            resource=mount_point,
        )
    path = node_items.path(app, attachment)
    helper = app.configuration.node().get("root_helper", "sudo")
    found = filesystems.filesystem(path, root_helper=helper)
    fields: dict[str, Any] = {
        "device": filesystems.stable_name(path, found),
        "mount_point": filesystems.escaped(mount_point),
        "type": found.type,
        # systemd waits for the device from the start of the boot, while the unit attaches it.
        "options": f"{options},_netdev,x-systemd.after={UNIT},x-systemd.device-timeout=5min",
    }
    line = " ".join([*fields.values(), "0", "2"])
    app.result({**fields, "line": line}, line)
