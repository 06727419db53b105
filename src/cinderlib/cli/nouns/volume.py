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
from cinderlib.validation import VOLUME_STATUSES
from cinderlib.value_checks import check_choice, shown

if TYPE_CHECKING:
    import cinderlib as cl


@click.group(cls=Group)
def volume() -> None:
    """Create, list, show, extend, clone, attach and delete volumes."""


@volume.command("create")
@click.argument("name")
@click.argument("size", type=sizes.Size(), required=False)
@options.backend
@click.option("--pool", help="The pool of the volume; by default the backend's first.")
@click.option(
    "--snapshot",
    help="Create the volume from this snapshot.",
    shell_complete=completing.snapshots,
)
@click.option(
    "--id",
    help="The ID; by default a new one. If a volume has this ID, the command does not change it.",
)
@options.described
@click.option("--bootable", is_flag=True, default=None, help="Mark the volume as bootable.")
@click.option("--multiattach", is_flag=True, default=None, help="Allow several hosts to use it.")
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
    """Create a volume NAME with SIZE, for example 10GiB.

    SIZE is optional with --snapshot.
    """
    app.may_create_store()
    given = {"name": name, "pool_name": pool, "size": size, **fields}
    given = {field: value for field, value in given.items() if value is not None}
    if snapshot is not None:
        if backend is not None or pool is not None:
            raise click.UsageError("--backend and --pool cannot be combined with --snapshot.")
        source = find.snapshot(app.controller, snapshot)
        with app.working(f"Creating {name} from snapshot {snapshot}"):
            app.backend_of(source)
            created = source.create_volume(**given)
    elif size is None:
        raise click.UsageError("Specify SIZE, for example 10GiB, or --snapshot.")
    else:
        with app.working(f"Creating {name}"):
            created = app.backend(backend).create_volume(**given)
    app.say(_created(created))
    app.result(created, created.id)


def _created(volume: cl.Volume) -> str:
    """The message about a created volume."""
    name, facts = (
        volume.name or volume.id,
        f"{sizes.of_gib(volume.size)}, on {backend_name(volume)}",
    )
    if volume.changed:
        return f"Created volume {name}, {facts}."
    return f"Volume {name} already exists ({facts}); nothing changed."


@volume.command("list")
@options.backend
@click.option("--name", help="List only volumes with exactly this name.")
@click.option("--status", help="List only volumes with this status.")
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
    """Show the details of a volume."""
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
    """Extend a volume to SIZE, even if it is in use."""
    found = find.volume(app.controller, volume)
    with app.working(f"Extending {volume}"):
        app.backend_of(found)
        found.extend(size)
    already = "" if found.changed else " already"
    app.say(f"Volume {volume} is{already} {sizes.of_gib(found.size)}.")
    if app.as_json:
        app.result(found, "")


@volume.command("clone")
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("name")
@click.argument("size", type=sizes.Size(), required=False)
@click.option("--id", help="The ID of the new volume; by default a new one.")
@pass_app
def clone(app: App, volume: str, name: str, size: float | None, id: str | None) -> None:
    """Create a volume NAME with the data of another volume.

    SIZE can be larger than the size of the source volume.
    """
    source = find.volume(app.controller, volume)
    given: dict[str, Any] = {"name": name, "size": size, "id": id}
    with app.working(f"Cloning {volume}"):
        app.backend_of(source)
        created = source.clone(**{k: v for k, v in given.items() if v is not None})
    app.say(_created(created))
    app.result(created, created.id)


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
            f"On this host, {connection.protocol} has no device, but a handle of the process:"
            " attach the volume in a program"
        )
    already = "" if connection.changed else " already"
    app.say(f"Volume {volume} is{already} attached.")
    app.result(connection, connection.path)


@volume.command("detach")
@click.argument("volume", shell_complete=completing.volumes)
@options.force("Detach even if unwritten data is lost.")
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
    app.say(f"Detached volume {volume} from this host.")
    if app.as_json:
        app.result(found, "")


@volume.command("connect")
@click.argument("volume", shell_complete=completing.volumes)
@click.option(
    "--connector",
    type=click.File("rb"),
    help="File with the output of `cinderlib node connector`; - reads standard input.",
)
@click.option(
    "--node",
    help="The name from `cinderlib node register` on that host.",
    shell_complete=completing.nodes,
)
@click.option("--mode", type=click.Choice(["rw", "ro"]), help="Access mode; by default rw.")
@click.option("--instance", help="Distinguishes several users on one host, e.g. VMs.")
@click.option(
    "--migrating",
    is_flag=True,
    help="Allow a second host for a live migration, until the first is disconnected.",
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
        connection = found.connect(properties, migrating=migrating, **given)
    already = "" if connection.changed else " already"
    app.say(f"Volume {volume} is{already} mapped to {properties.get('host', 'the host')}.")
    output.as_json(connection.connection_info)


@volume.command("disconnect")
@click.argument("volume", shell_complete=completing.volumes)
@click.option(
    "--host",
    help="Disconnect from this host; by default the only connected host.",
    shell_complete=completing.hosts,
)
@click.option("--all", "everyone", is_flag=True, help="Disconnect from all hosts.")
@options.force("Disconnect even if the volume is attached or the driver fails.")
@pass_app
def disconnect(
    app: App, volume: str, host: str | None, everyone: bool, force: bool, yes: bool
) -> None:
    """Unmap a volume from a host. Detach it on that host first."""
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
    what = f"unmap volume {find.label(found)} from hosts that may be using it"
    if force and not agreed(what, yes=yes, dry_run=False):
        return
    for connection in chosen:
        with app.working(f"Unmapping {volume}"):
            app.backend_of(connection)
            found.disconnect(connection, force)
    app.say(
        f"Unmapped volume {volume}." if chosen else f"Volume {volume} is not connected to a host."
    )
    if app.as_json:
        output.as_json([{"id": c.id, "changed": c.changed} for c in chosen])
