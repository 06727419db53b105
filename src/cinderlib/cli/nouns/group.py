"""``cinderlib group``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, failures, find, items, naming, options, views
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.nouns.group_snapshot import snapshot
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    import cinderlib as cl

_group = click.argument("group", shell_complete=completing.groups)
_volumes = click.argument(
    "volumes", nargs=-1, required=True, metavar="VOLUME...", shell_complete=completing.volumes
)


_VERBS = {
    "disable-replication": "group_replication:disable",
    "enable-replication": "group_replication:enable",
    "failback": "group_replication:failback",
    "failover": "group_replication:failover",
}


@click.group("group", cls=Group, verbs=_VERBS)
def group() -> None:
    """Create, list, change, fail over and delete groups of volumes.

    `group snapshot create` takes snapshots of all volumes of a group at the same moment.
    """


@group.command("create")
@click.argument("name")
@click.argument("volumes", nargs=-1, metavar="[VOLUME...]", shell_complete=completing.volumes)
@click.option("--description", help="A description to store.")
@click.option(
    "--id", help="The ID; by default a new one. If a group has this ID, it does not change."
)
@click.option(
    "--snapshot",
    help="Create the group, with new volumes, from this group snapshot.",
    shell_complete=completing.group_snapshots,
)
@options.pairs(
    "--group-spec", "group_specs", "A group spec for the driver; by default consistent snapshots."
)
@options.backend
@naming.options
@options.wait
@single(views.GROUPS)
@pass_app
def create(
    app: App,
    /,
    name: str,
    volumes: tuple[str, ...],
    backend: str | None,
    snapshot: str | None,
    **given: Any,
) -> None:
    """Create a group NAME of volumes of one backend.

    The volumes can be in use. With --snapshot, the group has a new volume from each of the
    snapshots, and the group specs of their group. The names of the volumes are NAME-VOLUME.
    """
    fields = {field: value for field, value in given.items() if value is not None}
    if snapshot is not None:
        if volumes or backend is not None or "group_specs" in fields:
            raise click.UsageError(
                "VOLUME, --backend and --group-spec cannot be combined with --snapshot."
            )
        source = find.group_snapshot(app.controller, snapshot)
        copied = (each.volume for each in source.snapshots)
        fields = naming.of_group(app.controller, name, source.backend_name, fields, copied)
        with app.working(f"Creating group {name} from group snapshot {snapshot}"):
            app.backend_of(source)
            copy = app.patiently(lambda: source.create_group(name, **fields))
        _created(app, copy, name)
        return
    app.may_create_store()
    found = _found(app, volumes)
    if backend is None:
        backend = backend_name(found[0]) if found else app.configuration.only_backend()
    fields = naming.of_group(app.controller, name, backend, fields)
    with app.working(f"Creating group {name}"):
        of = app.backend(backend)
        created = app.patiently(lambda: of.create_group(name, found, **fields))
    _created(app, created, name)


def _created(app: App, created: cl.Group, name: str) -> None:
    """Report a created group."""
    if created.changed:
        app.say(f"Created group {name}.")
    else:
        app.say(f"Group {name} already exists; nothing changed.")
    app.result({**items.group(created), "changed": created.changed}, created.id)


@group.command("clone")
@_group
@click.argument("name")
@click.option("--description", help="A description to store.")
@click.option("--id", help="The ID of the new group; by default a new one.")
@click.option(
    "--one-after-another",
    is_flag=True,
    help="Clone the volumes in sequence if the driver cannot clone them at the same moment.",
)
@naming.options
@options.wait
@single(views.GROUPS)
@pass_app
def clone(app: App, /, group: str, name: str, one_after_another: bool, **given: Any) -> None:
    """Create a group NAME as a clone of another group.

    The clones are of the same moment. Their names are NAME-VOLUME.
    """
    source = find.group(app.controller, group)
    fields = {field: value for field, value in given.items() if value is not None}
    fields = naming.of_group(app.controller, name, source.backend_name, fields, source.volumes)
    with app.working(f"Cloning group {group}"):
        app.backend_of(source)
        created = app.patiently(
            lambda: source.clone(name, one_after_another=one_after_another, **fields)
        )
    _created(app, created, name)


@group.command("list")
@options.backend
@listing(views.GROUPS)
@pass_app
def list_(app: App, backend: str | None) -> None:
    """List groups, oldest first."""
    app.list_items(map(items.group, app.controller.groups(backend=app.on_backend(backend))))


@group.command("show")
@_group
@single(views.GROUPS)
@pass_app
def show(app: App, group: str) -> None:
    """Show the details of a group."""
    app.show(items.group(find.group(app.controller, group)))


@group.command("add")
@_group
@_volumes
@options.wait
@single(views.GROUPS)
@pass_app
def add(app: App, group: str, volumes: tuple[str, ...]) -> None:
    """Add volumes to a group. Their data does not change."""
    _change(app, group, volumes, lambda found, members: found.add(*members))


@group.command("remove")
@_group
@_volumes
@options.wait
@single(views.GROUPS)
@pass_app
def remove(app: App, group: str, volumes: tuple[str, ...]) -> None:
    """Remove volumes from a group. Their data does not change."""
    _change(app, group, volumes, lambda found, members: found.remove(*members))


def _found(app: App, named: Iterable[str]) -> list[cl.Volume]:
    return find.distinct(find.volume(app.controller, each) for each in named)


def _change(
    app: App,
    named: str,
    volumes: Iterable[str],
    change: Callable[[cl.Group, list[cl.Volume]], None],
) -> None:
    """Call :meth:`Group.add` or :meth:`Group.remove`."""
    found = find.group(app.controller, named)
    members = _found(app, volumes)
    with app.working(f"Changing group {named}"):
        app.backend_of(found)
        app.patiently(lambda: change(found, members))
    app.say(f"Changed group {named}." if found.changed else f"Group {named}: no change.")
    app.result({**items.group(found), "changed": found.changed}, None)


@group.command("delete")
@click.argument(
    "groups", nargs=-1, required=True, metavar="GROUP...", shell_complete=completing.groups
)
@click.option("--volumes", is_flag=True, help="Also delete the volumes with their data.")
@options.wait
@destructive
@pass_app
def delete(app: App, groups: tuple[str, ...], volumes: bool, yes: bool, dry_run: bool) -> None:
    """Delete groups. Their volumes stay, unless --volumes is specified.

    An error does not affect the other groups. The exit code is that of the worst error.
    """
    rule = find.rule_to_destroy(yes=yes)
    failed = failures.Failures(app, len(groups))
    search = functools.partial(find.group, app.controller, rule=rule)
    found = failures.found(failed, groups, "group", search)
    names = ", ".join(find.label(each) for each in found)
    what = "group" if len(found) == 1 else f"{len(found)} groups:"
    lost = " and all their volumes with their data" if volumes else ""
    if found and agreed(f"delete {what} {names}{lost}", yes=yes, dry_run=dry_run):
        failures.delete_each(
            app, failed, found, "group", delete=lambda each: each.delete(volumes=volumes)
        )
    failed.end()


group.add_command(snapshot)
