"""``cinderlib backend failover`` and the other commands for replication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import confirmation, sizes, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.nouns.backend import argument
from cinderlib.cli.output_options import single
from cinderlib.drivers.port_replication import DEFAULT

if TYPE_CHECKING:
    from cinderlib.objects.replicating import Replication


@click.command("failover", cls=Command)
@argument
@click.option("--to", metavar="ID", help="The backend_id of a replication device of the backend.")
@confirmation.destructive
@single(views.REPLICATION)
@pass_app
def failover(app: App, name: str | None, to: str | None, yes: bool, dry_run: bool) -> None:
    """Use the replicas of the volumes on another storage system.

    Volumes without a replica get the status error until `backend failback`. Hosts do not follow:
    detach and attach connected volumes again. If the command is interrupted, repeat it.
    """
    backend = app.configured_name(name)
    target = f" to {to}" if to else ""
    if confirmation.agreed(f"fail over backend {backend}{target}", yes=yes, dry_run=dry_run):
        with app.working(f"Failing over backend {backend}"):
            state = app.controller.failover(backend, to, **app.backend_options(backend))
        _report(app, backend, state)


@click.command("failback", cls=Command)
@argument
@confirmation.destructive
@single(views.REPLICATION)
@pass_app
def failback(app: App, name: str | None, yes: bool, dry_run: bool) -> None:
    """Use a backend's own storage again.

    The driver copies changes from the replicas first, if it can. Volumes that had no replica get
    their status back.
    """
    backend = app.configured_name(name)
    if confirmation.agreed(f"fail back backend {backend}", yes=yes, dry_run=dry_run):
        with app.working(f"Failing back backend {backend}"):
            state = app.controller.failover(backend, DEFAULT, **app.backend_options(backend))
        _report(app, backend, state)


@click.command("freeze", cls=Command)
@argument
@single(views.REPLICATION)
@pass_app
def freeze(app: App, name: str | None) -> None:
    """Refuse to create, change and delete volumes and snapshots.

    Hosts can still be connected and disconnected.
    """
    loaded = app.backend(name)
    _report(app, loaded.id, loaded.freeze())


@click.command("thaw", cls=Command)
@argument
@single(views.REPLICATION)
@pass_app
def thaw(app: App, name: str | None) -> None:
    """Allow operations on a frozen backend again."""
    loaded = app.backend(name)
    _report(app, loaded.id, loaded.thaw())


def _report(app: App, backend: str, state: Replication) -> None:
    """Show the state after a change."""
    if app.form.format:
        facts: dict[str, Any] = {"name": backend, **state.stats(), "changed": state.changed}
        app.show({**facts, "targets": list(state.targets)})
        return
    storage = state.active_backend_id or "its own storage"
    frozen = " and is frozen" if state.frozen else ""
    unchanged = "" if state.changed else "; nothing changed"
    app.say(f"Backend {backend} uses {storage}{frozen}{unchanged}.")
    volumes = app.controller.volumes(backend=backend)
    connected = sum(each.attach_status == "attached" for each in volumes)
    if state.changed and connected and click.get_current_context().info_name in _SWITCHING:
        app.say(
            f"{sizes.counted({'volumes': connected})} connected: detach and attach them again, so"
            " that hosts use the other storage."
        )


#: The commands after which hosts must be connected again.
_SWITCHING = frozenset({"failover", "failback"})
