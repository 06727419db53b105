"""``cinderlib group snapshot``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, failures, find, items, options, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    import cinderlib as cl


@click.group("snapshot", cls=Group)
def snapshot() -> None:
    """Create, list, show and delete snapshots of groups.

    `volume create --snapshot` creates a volume from one of the snapshots.
    """


@snapshot.command("create")
@click.argument("group", shell_complete=completing.groups)
@click.argument("name")
@click.option("--description", help="A description to store.")
@click.option(
    "--id",
    help="The ID; by default a new one. If a group snapshot has this ID, the command does not"
    " change it.",
)
@click.option(
    "--one-after-another",
    is_flag=True,
    help="Take the snapshots in sequence if the driver cannot take them at the same moment.",
)
@options.wait
@single(views.GROUP_SNAPSHOTS)
@pass_app
def create(app: App, /, group: str, name: str, one_after_another: bool, **given: Any) -> None:
    """Create a group snapshot NAME.

    It has a snapshot of each volume of the group, of the same moment.
    """
    found = find.group(app.controller, group)
    fields = {field: value for field, value in given.items() if value is not None}
    with app.working(f"Creating group snapshot {name} of {group}"):
        app.backend_of(found)
        created = app.patiently(
            lambda: found.create_snapshot(name, one_after_another=one_after_another, **fields)
        )
    of_group = f"snapshot {name} of group {found.name or found.id}"
    if not created.changed:
        app.say(f"S{of_group[1:]} already exists; nothing changed.")
    elif created.consistent:
        app.say(f"Created {of_group}.")
    else:
        app.say(f"Created {of_group}; the snapshots were taken in sequence.")
    app.result({**_item(app, created), "changed": created.changed}, created.id)


@snapshot.command("list")
@options.backend
@click.option(
    "--group", help="List only snapshots of this group.", shell_complete=completing.groups
)
@listing(views.GROUP_SNAPSHOTS)
@pass_app
def list_(app: App, backend: str | None, group: str | None) -> None:
    """List group snapshots, oldest first."""
    found = app.controller.group_snapshots(backend=app.on_backend(backend))
    if group is not None:
        of = find.group(app.controller, group).id
        found = (each for each in found if each.group_id == of)
    app.list_items(_item(app, each) for each in found)


@snapshot.command("show")
@click.argument("snapshot", shell_complete=completing.group_snapshots)
@single(views.GROUP_SNAPSHOTS)
@pass_app
def show(app: App, snapshot: str) -> None:
    """Show the details of a group snapshot."""
    app.show(_item(app, find.group_snapshot(app.controller, snapshot)))


@snapshot.command("delete")
@click.argument(
    "snapshots",
    nargs=-1,
    required=True,
    metavar="SNAPSHOT...",
    shell_complete=completing.group_snapshots,
)
@options.wait
@destructive
@pass_app
def delete(app: App, snapshots: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Delete group snapshots with all their snapshots.

    An error does not affect the other group snapshots. The exit code is that of the worst error.
    """
    rule = find.rule_to_destroy(yes=yes)
    failed = failures.Failures(app, len(snapshots))
    search = functools.partial(find.group_snapshot, app.controller, rule=rule)
    found = failures.found(failed, snapshots, "group snapshot", search)
    names = ", ".join(find.label(each) for each in found)
    what = "group snapshot" if len(found) == 1 else f"{len(found)} group snapshots:"
    if found and agreed(f"delete {what} {names}", yes=yes, dry_run=dry_run):
        failures.delete_each(app, failed, found, "group snapshot")
    failed.end()


def _item(app: App, found: cl.GroupSnapshot) -> dict[str, Any]:
    from cinderlib.errors import GroupNotFound

    try:
        name = app.controller.group(found.group_id).name
    except GroupNotFound:
        name = ""
    return {**items.group_snapshot(found), "group": name or found.group_id}
