"""``cinderlib snapshot``."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, failures, filters, find, items, naming, options, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.output_options import listing, single
from cinderlib.validation import SNAPSHOT_STATUSES
from cinderlib.value_checks import check_choice

if TYPE_CHECKING:
    import cinderlib as cl


#: The verbs in other modules.
_VERBS = {
    "attach": "snapshot_attach:attach",
    "connect": "snapshot_attach:connect",
    "detach": "snapshot_attach:detach",
    "export": "extents:export_snapshot",
    "extents": "extents:snapshot_extents",
    "manage": "manage:manage_snapshot",
    "manageable": "manage:snapshots_manageable",
    "set": "volume_edit:set_snapshot",
    "unmanage": "manage:unmanage_snapshots",
    "unset": "volume_edit:unset_snapshot",
}


@click.group(cls=Group, verbs=_VERBS)
def snapshot() -> None:
    """Create, list, show, attach, revert to and delete snapshots.

    `volume create --snapshot` creates a volume from a snapshot.
    """


@snapshot.command("create")
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("name")
@click.option(
    "--id",
    help="The ID; by default a new one. If a snapshot has this ID, the command does not change it.",
)
@options.described
@naming.options
@options.wait
@single(views.SNAPSHOTS)
@pass_app
def create(app: App, /, volume: str, name: str, **fields: Any) -> None:
    """Create a snapshot NAME of a volume, even while it is in use."""
    source = find.volume(app.controller, volume)
    given = {field: value for field, value in fields.items() if value is not None}
    given = naming.of_snapshot(source, name, given)
    with app.working(f"Creating snapshot {name} of {volume}"):
        app.backend_of(source)
        created = app.patiently(lambda: source.create_snapshot(name=name, **given))
    of_volume = f"snapshot {name} of volume {source.name or source.id}"
    if created.changed:
        app.say(f"Created {of_volume}.")
    else:
        app.say(f"S{of_volume[1:]} already exists; nothing changed.")
    result = items.snapshot(created, source.name or source.id)
    app.result({**result, "changed": created.changed}, created.id)


@snapshot.command("list")
@options.backend
@click.option(
    "--volume", help="List only snapshots of this volume.", shell_complete=completing.volumes
)
@filters.name
@click.option("--status", help="List only snapshots with this status.")
@filters.metadata
@filters.size_and_age
@listing(views.SNAPSHOTS)
@pass_app
def list_(app: App, /, backend: str | None, volume: str | None, **given: Any) -> None:
    """List snapshots, oldest first."""
    if given["status"] is not None:
        check_choice(given["status"], SNAPSHOT_STATUSES, "status")
    found: Iterator[cl.Snapshot] = app.controller.snapshots(backend=app.on_backend(backend))
    if volume is not None:
        of = find.volume(app.controller, volume).id
        found = (item for item in found if item.volume_id == of)
    names = items.Names(app.controller.volumes(backend=backend))
    app.list_items(
        filters.chosen((items.snapshot(item, names[item.volume_id]) for item in found), given)
    )


@snapshot.command("show")
@click.argument("snapshot", shell_complete=completing.snapshots)
@single(views.SNAPSHOTS)
@pass_app
def show(app: App, snapshot: str) -> None:
    """Show the details of a snapshot."""
    found = find.snapshot(app.controller, snapshot)
    app.show(items.snapshot(found, _name_of_volume(app, found)))


def _name_of_volume(app: App, snapshot: cl.Snapshot) -> str:
    volume = app.controller.peek_volume(snapshot.volume_id)
    return volume.name if volume is not None and volume.name else snapshot.volume_id


@snapshot.command("revert")
@click.argument("snapshot", shell_complete=completing.snapshots)
@click.option(
    "--by-copy",
    is_flag=True,
    help="Copy the data on this host, for drivers that cannot revert, or to an older snapshot.",
)
@options.wait
@destructive
@single(views.VOLUMES)
@pass_app
def revert(app: App, snapshot: str, by_copy: bool, yes: bool, dry_run: bool) -> None:
    """Revert a volume to the data of a snapshot.

    Data that was written after the snapshot is lost. The volume must not be connected to a host.
    """
    found = find.snapshot(app.controller, snapshot, find.rule_to_destroy(yes=yes))
    volume = found.volume
    named = volume.name or volume.id
    what = (
        f"revert volume {find.label(volume)} to snapshot {find.label(found)}, and lose all data"
        " that was written after it"
    )
    if not agreed(what, yes=yes, dry_run=dry_run):
        return
    with app.working(f"Reverting {named}"):
        app.backend_of(volume)
        app.patiently(lambda: volume.revert_to_snapshot(found, by_copy=by_copy))
    app.say(f"Reverted volume {named} to snapshot {snapshot}.")
    app.result({**items.volume(volume), "changed": volume.changed}, None)


@snapshot.command("delete")
@click.argument(
    "snapshots",
    nargs=-1,
    required=True,
    metavar="SNAPSHOT...",
    shell_complete=completing.snapshots,
)
@options.wait
@destructive
@pass_app
def delete(app: App, snapshots: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Delete snapshots and their data.

    An error does not affect the other snapshots. The exit code is that of the worst error.
    """
    rule = find.rule_to_destroy(yes=yes)
    failed = failures.Failures(app, len(snapshots))
    search = functools.partial(find.snapshot, app.controller, rule=rule)
    found = failures.found(failed, snapshots, "snapshot", search)
    names = ", ".join(find.label(item) for item in found)
    what = "snapshot" if len(found) == 1 else f"{len(found)} snapshots:"
    if found and agreed(f"delete {what} {names}", yes=yes, dry_run=dry_run):
        failures.delete_each(app, failed, found, "snapshot")
    failed.end()
