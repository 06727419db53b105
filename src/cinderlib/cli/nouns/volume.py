"""``cinderlib volume``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import completing, documents, find, options, output, sizes
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.framework import Group, agreed, destructive, pass_app
from cinderlib.cli.nouns.connection import hosts_of
from cinderlib.validation import VOLUME_STATUSES, check_choice, shown

if TYPE_CHECKING:
    import cinderlib as cl


@click.group(cls=Group)
def volume() -> None:
    """Volumes: make, see, grow, copy, attach, delete."""


@volume.command("create")
@click.argument("name")
@click.argument("size", type=sizes.Size(), required=False)
@options.backend
@click.option("--pool", help="The pool to put it in; by default the backend's first.")
@click.option(
    "--snapshot",
    help="Make it of the data of this snapshot.",
    shell_complete=completing.snapshots,
)
@click.option("--id", help="Its id; by default a new one. Given again, it changes nothing.")
@options.described
@click.option("--bootable", is_flag=True, default=None, help="Mark it as one to boot from.")
@click.option("--multiattach", is_flag=True, default=None, help="Several hosts may use it at once.")
@options.pairs("--extra-spec", "extra_specs", "An extra spec for the driver.")
@options.pairs("--qos-spec", "qos_specs", "A QoS spec for the driver.")
@pass_app
def create(
    app: App,
    /,
    name: str,
    size: float | None,
    backend: str | None,
    pool: str | None,
    snapshot: str | None,
    **fields: Any,
) -> None:
    """Make a volume of SIZE, such as 10GiB.

    SIZE may be left out with --snapshot.
    """
    app.may_create_store()
    given = {"name": name, "pool_name": pool, "size": size, **fields}
    given = {field: value for field, value in given.items() if value is not None}
    if snapshot is not None:
        if backend is not None or pool is not None:
            raise click.UsageError("--backend and --pool cannot be combined with --snapshot.")
        source = find.snapshot(app.controller, snapshot)
        with app.working(f"Making {name} of snapshot {snapshot}"):
            app.backend_of(source)
            made = source.create_volume(**given)
    elif size is None:
        raise click.UsageError("Say the SIZE, such as 10GiB, or a --snapshot.")
    else:
        with app.working(f"Making {name}"):
            made = app.backend(backend).create_volume(**given)
    app.say(_made(made))
    app.result(made, made.id)


def _made(made: cl.Volume) -> str:
    what = f"volume {made.name or made.id}, {sizes.of_gib(made.size)}, on {backend_name(made)}"
    return f"Created {what}." if made.changed else f"It is there already: {what}."


@volume.command("list")
@options.backend
@click.option("--name", help="Only those with exactly this name.")
@click.option("--status", help="Only those in this status.")
@pass_app
def list_(app: App, backend: str | None, name: str | None, status: str | None) -> None:
    """List volumes, oldest first."""
    if status is not None:
        check_choice(status, VOLUME_STATUSES, "status")
    found: Iterator[cl.Volume] = app.controller.volumes(backend=app.on_backend(backend), name=name)
    if status is not None:
        found = (item for item in found if item.status == status)
    if app.as_json:
        output.as_json_list(item.to_dict() for item in found)
        return
    hosts: dict[str, list[str]] = {}
    for connection in app.controller.connections(backend=backend):
        host = connection.attached_host or connection.connector_info.get("host", "?")
        hosts.setdefault(connection.volume_id, []).append(host)
    rows = [
        (
            item.id,
            item.name,
            sizes.of_gib(item.size),
            item.status,
            backend_name(item),
            ", ".join(hosts.get(item.id, [])),
        )
        for item in found
    ]
    output.table(("ID", "NAME", "SIZE", "STATUS", "BACKEND", "HOSTS"), rows)
    app.say_empty(rows, "volumes")


@volume.command("show")
@click.argument("volume", shell_complete=completing.volumes)
@pass_app
def show(app: App, volume: str) -> None:
    """Show all that is known of a volume."""
    found = find.volume(app.controller, volume)
    facts = found.to_dict()
    if app.as_json:
        related = {
            "snapshots": [item.to_dict() for item in found.snapshots],
            "connections": [item.to_dict() for item in found.connections],
        }
        output.as_json(facts | related)
        return
    facts["size"] = sizes.of_gib(found.size)
    facts["snapshots"] = [f"{item.id} {item.name}".rstrip() for item in found.snapshots]
    facts["connections"] = [
        f"{item.id} {item.connector_info.get('host', '')} {device or ''}".rstrip()
        for item in found.connections
        for device in [output.device(output.attribute(item, "path"), item.device_state)]
    ]
    output.facts_of(found, facts)


@volume.command("extend")
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("size", type=sizes.Size())
@pass_app
def extend(app: App, volume: str, size: float) -> None:
    """Grow a volume to SIZE, in use or not."""
    found = find.volume(app.controller, volume)
    with app.working(f"Extending {volume}"):
        app.backend_of(found)
        found.extend(size)
    app.say(f"Volume {volume} has {sizes.of_gib(found.size)}.")
    if app.as_json:
        app.result(found, "")


@volume.command("clone")
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("name")
@click.argument("size", type=sizes.Size(), required=False)
@click.option("--id", help="The new volume's id; by default a new one.")
@pass_app
def clone(app: App, volume: str, name: str, size: float | None, id: str | None) -> None:
    """Make another volume NAME with the same data.

    SIZE may be larger than the volume's.
    """
    source = find.volume(app.controller, volume)
    given: dict[str, Any] = {"name": name, "size": size, "id": id}
    with app.working(f"Cloning {volume}"):
        app.backend_of(source)
        made = source.clone(**{k: v for k, v in given.items() if v is not None})
    app.say(_made(made))
    app.result(made, made.id)


@volume.command("delete")
@click.argument(
    "volumes", nargs=-1, required=True, metavar="VOLUME...", shell_complete=completing.volumes
)
@destructive
@pass_app
def delete(app: App, volumes: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Delete volumes and their data."""
    rule = find.rule_to_destroy(yes=yes)
    found = find.distinct(find.volume(app.controller, named, rule) for named in volumes)
    named = ", ".join(find.label(item, sizes.of_gib(item.size)) for item in found)
    if not agreed(f"delete {_count(found)} {named} and all data", yes=yes, dry_run=dry_run):
        return
    for item in found:
        with app.working(f"Deleting {item.name or item.id}"):
            app.backend_of(item)
            item.delete()
        app.say(f"Deleted volume {item.name or item.id}.")
    if app.as_json:
        output.as_json([{"id": item.id, "changed": item.changed} for item in found])


def _count(found: list[cl.Volume]) -> str:
    return "volume" if len(found) == 1 else f"{len(found)} volumes:"


@volume.command("attach")
@click.argument("volume", shell_complete=completing.volumes)
@pass_app
def attach(app: App, volume: str) -> None:
    """Attach a volume to this host and print its device."""
    found = find.volume(app.controller, volume)
    with app.working(f"Attaching {volume}"):
        app.backend_of(found)
        connection = found.attach()
    if not isinstance(connection.path, str):
        found.detach()
        raise click.ClickException(
            f"{connection.protocol} gives a handle of one process here, and no device; attach it"
            " in a program"
        )
    already = "" if connection.changed else " already"
    app.say(f"Volume {volume} is attached{already}.")
    app.result(connection, connection.path)


@volume.command("detach")
@click.argument("volume", shell_complete=completing.volumes)
@options.force("Also when data that was not written is lost by it.")
@pass_app
def detach(app: App, volume: str, force: bool, yes: bool) -> None:
    """Detach a volume from this host and disconnect it."""
    rule = find.rule_to_destroy(yes=yes) if force else find.ANY
    found = find.volume(app.controller, volume, rule)
    what = f"detach volume {find.label(found)} even if it is in use"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    with app.working(f"Detaching {volume}"):
        app.backend_of(found)
        found.detach(force=force)
    app.say(f"Volume {volume} is detached from this host.")
    if app.as_json:
        app.result(found, "")


@volume.command("connect")
@click.argument("volume", shell_complete=completing.volumes)
@click.option(
    "--connector",
    type=click.File("rb"),
    help="What `cinderlib node connector` wrote there; - for standard input.",
)
@click.option(
    "--node",
    help="The name under which that host has registered itself.",
    shell_complete=completing.nodes,
)
@click.option("--mode", type=click.Choice(["rw", "ro"]), help="By default rw.")
@click.option("--instance", help="Tells several users on one host apart.")
@click.option(
    "--migrating",
    is_flag=True,
    help="For a live migration: allow a second host until the first is disconnected.",
)
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
    """Map a volume for a host, and write the document that the host attaches it with.

    The document has keys in it (CHAP, cephx) where the protocol uses them: hand it on over channels
    that are encrypted only.
    """
    if (connector is None) == (node is None):
        raise click.UsageError("Say the host by --connector or by --node.")
    found = find.volume(app.controller, volume)
    properties = (
        documents.read(connector) if node is None else documents.registered(app.controller, node)
    )
    fields: dict[str, Any] = {
        "attach_mode": mode,
        "instance_uuid": instance,
        "attached_host": properties.get("host"),
    }
    with app.working(f"Mapping {volume}"):
        app.backend_of(found)
        given = {k: v for k, v in fields.items() if v}
        connection = found.connect(properties, migrating=migrating, **given)
    already = "" if connection.changed else " already"
    app.say(f"Volume {volume} is mapped for {properties.get('host', 'the host')}{already}.")
    output.as_json(connection.connection_info)


@volume.command("disconnect")
@click.argument("volume", shell_complete=completing.volumes)
@click.option(
    "--host",
    help="Only from this host; by default the one that it is connected to.",
    shell_complete=completing.hosts,
)
@click.option("--all", "everyone", is_flag=True, help="From all hosts.")
@options.force("Also when it is attached, or the driver says that it cannot.")
@pass_app
def disconnect(
    app: App, volume: str, host: str | None, everyone: bool, force: bool, yes: bool
) -> None:
    """Unmap a volume from a host. Detach it there first."""
    found = find.volume(app.controller, volume, find.rule_to_destroy(yes=yes or not force))
    connected = found.connections
    chosen = connected if host is None else [c for c in connected if host in hosts_of(c)]
    hosts = ", ".join(" or ".join(hosts_of(c)) or c.id for c in connected)
    if connected and not chosen:
        raise errors.ConnectionNotFound(
            f"Volume {volume} is not connected to host {shown(host)}; it is connected to {hosts}",
            resource=host,
        )
    if len(chosen) > 1 and not everyone and host is None:
        raise click.UsageError(f"Volume {volume} is connected to {hosts}: add --host or --all.")
    what = f"cut off volume {find.label(found)} from hosts that may be using it"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    for connection in chosen:
        with app.working(f"Unmapping {volume}"):
            app.backend_of(connection)
            found.disconnect(connection, force)
    app.say(
        f"Volume {volume} is unmapped."
        if chosen
        else f"Volume {volume} is not connected to a host."
    )
    if app.as_json:
        output.as_json([{"id": c.id, "changed": c.changed} for c in chosen])
