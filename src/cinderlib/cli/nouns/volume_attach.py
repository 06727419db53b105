"""The verbs of ``cinderlib volume`` that attach volumes and map them to hosts."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import completing, documents, find, items, options, output, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.nouns import node_boot, other_host
from cinderlib.cli.output_options import single
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    import cinderlib as cl


@click.command("attach", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.option("--read-only", is_flag=True, help="Attach it read-only.")
@options.persist
@options.cgroup
@options.other_host
@options.ssh
@options.wait
@single(views.CONNECTIONS)
@pass_app
def attach(
    app: App,
    volume: str,
    read_only: bool,
    persist: bool,
    cgroup: str | None,
    host: str | None,
    ssh: str,
) -> None:
    """Attach a volume to this or another host; print its device.

    With --host, the command runs `cinderlib node` on that host over SSH. The host needs no
    configuration.
    """
    found = find.volume(app.controller, volume)
    if host is not None:
        if persist or cgroup is not None:
            raise click.UsageError("--persist and --cgroup cannot be combined with --host.")
        other = other_host.OtherHost(host, ssh)
        with app.working(f"Attaching {volume} to {host}"):
            there, path = app.patiently(
                lambda: other_host.attach(app, found, other, read_only=read_only)
            )
        app.say(f"Volume {volume} is attached to {host}.")
        result = items.connection(there, found.name or found.id)
        app.result({**result, "path": path, "changed": there.changed}, path)
        return
    with app.working(f"Attaching {volume}"):
        app.backend_of(found)
        connection = app.patiently(
            lambda: found.attach(persist=persist, read_only=read_only, cgroup=cgroup)
        )
    if not isinstance(connection.path, str):
        found.detach()
        raise click.ClickException(
            f"On this host, {connection.protocol} has no device, but a handle of the process:"
            " attach the volume in a program"
        )
    already = "" if connection.changed else " already"
    app.say(f"Volume {volume} is{already} attached.")
    say_format(app, connection)
    if persist:
        node_boot.say_unit(app)
    result = {**items.connection(connection, found.name or found.id), "changed": connection.changed}
    app.result(result, connection.path)


def say_format(app: App, attached: cl.Connection | cl.Attachment) -> None:
    """Report that the path is a file which only some programs can use."""
    if attached.file_format != "raw":
        app.say(
            f"The file is in the format {attached.file_format}. Only use it with programs that read"
            " and write this format, such as QEMU."
        )


@click.command("detach", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@options.force("Detach even if unwritten data is lost.")
@options.other_host
@options.ssh
@options.wait
@single(views.VOLUMES)
@pass_app
def detach(app: App, volume: str, force: bool, yes: bool, host: str | None, ssh: str) -> None:
    """Detach a volume from this or another host; disconnect it."""
    rule = find.rule_to_destroy(yes=yes) if force else find.ANY
    found = find.volume(app.controller, volume, rule)
    if host is not None:
        if force:
            raise click.UsageError("--force cannot be combined with --host.")
        with app.working(f"Detaching {volume} from {host}"):
            other = other_host.OtherHost(host, ssh)
            changed = app.patiently(lambda: other_host.detach(app, found, other))
        if changed:
            app.say(f"Detached volume {volume} from {host}.")
        else:
            app.say(f"Volume {volume} is not connected to {host}.")
        found.refresh()
        app.result({**items.volume(found), "changed": changed}, None)
        return
    what = f"detach volume {find.label(found)} even if it is in use"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    with app.working(f"Detaching {volume}"):
        app.backend_of(found)
        app.patiently(lambda: found.detach(force=force))
    app.say(f"Detached volume {volume} from this host.")
    app.result({**items.volume(found), "changed": found.changed}, None)


@click.command("connect", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@options.mapped_host
@click.option("--mode", type=click.Choice(["rw", "ro"]), help="Access mode; by default rw.")
@click.option("--instance", help="Distinguishes several users on one host, e.g. VMs.")
@click.option(
    "--migrating",
    is_flag=True,
    help="Allow a second host for a live migration, until the first is disconnected.",
)
@options.wait
@pass_app
def connect(
    app: App,
    volume: str,
    connector: Any,
    node: str | None,
    mode: str | None,
    instance: str | None,
    migrating: bool,
) -> None:
    """Map a volume to a host.

    The output is the document that the host needs to attach the volume. It contains keys (CHAP,
    cephx) if the protocol uses them: transfer it only over encrypted channels.
    """
    if (connector is None) == (node is None):
        raise click.UsageError("Specify the host with --connector or --node.")
    found = find.volume(app.controller, volume)
    properties = documents.read(connector) if node is None else app.controller.node(node)
    fields: dict[str, Any] = {
        "attach_mode": mode,
        "instance_uuid": instance,
        "attached_host": properties.get("host"),
    }
    with app.working(f"Mapping {volume}"):
        app.backend_of(found)
        given = {k: v for k, v in fields.items() if v}
        connection = app.patiently(lambda: found.connect(properties, migrating=migrating, **given))
    already = "" if connection.changed else " already"
    app.say(f"Volume {volume} is{already} mapped to {properties.get('host', 'the host')}.")
    output.as_json(connection.connection_info)


@click.command("disconnect", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.option(
    "--host",
    help="Disconnect from this host; by default the only connected host.",
    shell_complete=completing.hosts,
)
@click.option("--all", "everyone", is_flag=True, help="Disconnect from all hosts.")
@options.force("Disconnect even if the volume is attached or the driver fails.")
@options.wait
@pass_app
def disconnect(
    app: App, volume: str, host: str | None, everyone: bool, force: bool, yes: bool
) -> None:
    """Unmap a volume from a host. Detach it on that host first."""
    found = find.volume(app.controller, volume, find.rule_to_destroy(yes=yes or not force))
    connected = found.connections
    chosen = connected if host is None else [c for c in connected if host in items.hosts_of(c)]
    hosts = ", ".join(" or ".join(items.hosts_of(c)) or c.id for c in connected)
    if connected and not chosen:
        raise errors.ConnectionNotFound(
            f"Volume {volume} is not connected to host {shown(host)}; it is connected to {hosts}",
            resource=host,
        )
    if len(chosen) > 1 and not everyone and host is None:
        raise click.UsageError(f"Volume {volume} is connected to {hosts}: add --host or --all.")
    what = f"unmap volume {find.label(found)} from hosts that may be using it"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    for connection in chosen:
        with app.working(f"Unmapping {volume}"):
            app.backend_of(connection)
            app.patiently(functools.partial(found.disconnect, connection, force))
    app.say(
        f"Unmapped volume {volume}." if chosen else f"Volume {volume} is not connected to a host."
    )
    if app.as_json:
        app.write(list(items.changed(chosen)))
