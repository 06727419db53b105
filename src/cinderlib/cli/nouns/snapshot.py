"""``cinderlib snapshot``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, find, options, output, sizes
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.framework import Group, agreed, destructive, pass_app

if TYPE_CHECKING:
    import cinderlib as cl


@click.group(cls=Group)
def snapshot() -> None:
    """Create, list, show, revert to and delete snapshots.

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
@pass_app
def create(app: App, /, volume: str, name: str, **fields: Any) -> None:
    """Create a snapshot NAME of a volume, even if the volume is in use."""
    source = find.volume(app.controller, volume)
    given = {field: value for field, value in fields.items() if value is not None}
    with app.working(f"Creating snapshot {name} of {volume}"):
        app.backend_of(source)
        created = source.create_snapshot(name=name, **given)
    of_volume = f"snapshot {name} of volume {source.name or source.id}"
    if created.changed:
        app.say(f"Created {of_volume}.")
    else:
        app.say(f"S{of_volume[1:]} already exists; nothing changed.")
    app.result(created, created.id)


@snapshot.command("list")
@options.backend
@click.option(
    "--volume", help="List only snapshots of this volume.", shell_complete=completing.volumes
)
@pass_app
def list_(app: App, backend: str | None, volume: str | None) -> None:
    """List snapshots, oldest first."""
    found: Iterator[cl.Snapshot] = app.controller.snapshots(backend=app.on_backend(backend))
    if volume is not None:
        of = find.volume(app.controller, volume).id
        found = (item for item in found if item.volume_id == of)
    if app.as_json:
        output.as_json_list(item.to_dict() for item in found)
        return
    names = {item.id: item.name for item in app.controller.volumes(backend=backend)}
    rows = [
        (
            item.id,
            item.name,
            names.get(item.volume_id) or item.volume_id,
            sizes.of_gib(item.volume_size),
            item.status,
            backend_name(item),
            item.created_at,
        )
        for item in found
    ]
    output.table(("ID", "NAME", "VOLUME", "SIZE", "STATUS", "BACKEND", "CREATED"), rows)
    app.say_empty(rows, "snapshots")


@snapshot.command("show")
@click.argument("snapshot", shell_complete=completing.snapshots)
@pass_app
def show(app: App, snapshot: str) -> None:
    """Show the details of a snapshot."""
    found = find.snapshot(app.controller, snapshot)
    facts = found.to_dict()
    if app.as_json:
        output.as_json(facts)
        return
    facts["volume_size"] = sizes.of_gib(found.volume_size)
    output.facts_of(found, facts)


@snapshot.command("revert")
@click.argument("snapshot", shell_complete=completing.snapshots)
@destructive
@pass_app
def revert(app: App, snapshot: str, yes: bool, dry_run: bool) -> None:
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
        volume.revert_to_snapshot(found)
    app.say(f"Reverted volume {named} to snapshot {snapshot}.")
    if app.as_json:
        app.result(volume, "")


@snapshot.command("delete")
@click.argument(
    "snapshots",
    nargs=-1,
    required=True,
    metavar="SNAPSHOT...",
    shell_complete=completing.snapshots,
)
@destructive
@pass_app
def delete(app: App, snapshots: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Delete snapshots and their data."""
    rule = find.rule_to_destroy(yes=yes)
    found = find.distinct(find.snapshot(app.controller, named, rule) for named in snapshots)
    names = ", ".join(find.label(item) for item in found)
    what = "snapshot" if len(found) == 1 else f"{len(found)} snapshots:"
    if not agreed(f"delete {what} {names}", yes=yes, dry_run=dry_run):
        return
    for item in found:
        with app.working(f"Deleting {item.name or item.id}"):
            app.backend_of(item)
            item.delete()
        app.say(f"Deleted snapshot {item.name or item.id}.")
    if app.as_json:
        output.as_json([{"id": item.id, "changed": item.changed} for item in found])
