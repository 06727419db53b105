"""``cinderlib group failover`` and the other commands for the replication of groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cinderlib.cli import completing, confirmation, find, items, options, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single

if TYPE_CHECKING:
    import cinderlib as cl

_group = click.argument("group", shell_complete=completing.groups)
_allow_attached = click.option(
    "--allow-attached",
    is_flag=True,
    help="Also if volumes are attached. Hosts use the other storage after the next attach.",
)


@click.command("enable-replication", cls=Command)
@_group
@options.wait
@single(views.GROUPS)
@pass_app
def enable(app: App, group: str) -> None:
    """Replicate all volumes of a group together.

    The group needs the group spec `consistent_group_replication_enabled=<is> True`, and its volumes
    the extra spec `replication_enabled=<is> True`.
    """
    _change(app, find.group(app.controller, group), lambda found: found.enable_replication())


@click.command("disable-replication", cls=Command)
@_group
@options.wait
@single(views.GROUPS)
@pass_app
def disable(app: App, group: str) -> None:
    """Stop the replication of a group.

    The volumes keep their data.
    """
    _change(app, find.group(app.controller, group), lambda found: found.disable_replication())


@click.command("failover", cls=Command)
@_group
@click.option("--to", metavar="ID", help="The backend_id of a replication device of the backend.")
@_allow_attached
@options.wait
@confirmation.destructive
@single(views.GROUPS)
@pass_app
def failover(
    app: App, group: str, to: str | None, allow_attached: bool, yes: bool, dry_run: bool
) -> None:
    """Use the replicas of a group on another storage.

    The rest of the backend does not change. Hosts do not follow: detach and attach connected
    volumes again. If the command is interrupted, repeat it.
    """
    found = find.group(app.controller, group)
    target = f" to {to}" if to else ""
    if confirmation.agreed(
        f"fail over group {find.label(found)}{target}", yes=yes, dry_run=dry_run
    ):
        _change(app, found, lambda each: each.failover(to, allow_attached=allow_attached))


@click.command("failback", cls=Command)
@_group
@_allow_attached
@options.wait
@confirmation.destructive
@single(views.GROUPS)
@pass_app
def failback(app: App, group: str, allow_attached: bool, yes: bool, dry_run: bool) -> None:
    """Use the backend's own storage for a group again."""
    found = find.group(app.controller, group)
    if confirmation.agreed(f"fail back group {find.label(found)}", yes=yes, dry_run=dry_run):
        _change(app, found, lambda each: each.failback(allow_attached=allow_attached))


def _change(app: App, found: cl.Group, change: Callable[[cl.Group], None]) -> None:
    """Change the replication of a group, and report it."""
    label = find.label(found)
    with app.working(f"Changing the replication of group {label}"):
        app.backend_of(found)
        app.patiently(lambda: change(found))
    if found.active_backend_id is not None:
        state = f"uses {found.active_backend_id}"
    else:
        state = f"uses its backend's own storage; its replication is {found.replication_status}"
    unchanged = "" if found.changed else "; nothing changed"
    app.say(f"Group {label} {state}{unchanged}.")
    app.result({**items.group(found), "changed": found.changed}, None)
