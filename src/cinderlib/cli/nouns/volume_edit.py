"""The verbs of ``cinderlib volume`` and ``cinderlib snapshot`` that change what the store records:
name, description, metadata. They do not access the storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, find, items, naming, options, views
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single

if TYPE_CHECKING:
    import cinderlib as cl

_allow_duplicate = click.option(
    "--allow-duplicate", is_flag=True, help="Allow a name that is already in use."
)
_keys = click.option(
    "--metadata",
    "keys",
    multiple=True,
    required=True,
    metavar="KEY",
    help="Remove this key of the metadata. Can be repeated.",
)


def _edit(resource: Any, changes: Callable[[Any], None], what: str, app: App) -> None:
    """Change a resource, save it, and report whether anything changed.

    :param what: the kind and name of the resource, for the message.
    """
    before = resource.to_dict()
    changes(resource)
    resource.changed = resource.to_dict() != before
    if resource.changed:
        changed = resource.changed
        resource.save()
        resource.changed = changed
    app.say(f"Changed {what}." if resource.changed else f"{what[0].upper()}{what[1:]}: no change.")


def _set(resource: Any, given: dict[str, Any]) -> None:
    metadata = given.pop("metadata", None)
    if metadata:
        resource.metadata.update(metadata)
    for name, value in given.items():
        if value is not None:
            setattr(resource, name, value)


def _require(given: dict[str, Any]) -> None:
    if all(value is None for value in given.values()):
        raise click.UsageError("Specify at least one option.")


def _unset(resource: Any, keys: tuple[str, ...]) -> None:
    for key in keys:
        resource.metadata.pop(key, None)


@click.command("set", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.option("--name", help="A new name.")
@options.described
@click.option(
    "--bootable/--not-bootable", default=None, help="Mark the volume as bootable, or not."
)
@_allow_duplicate
@single(views.VOLUMES)
@pass_app
def set_(app: App, /, volume: str, allow_duplicate: bool, **given: Any) -> None:
    """Change the name, description or metadata of a volume.

    --metadata adds keys or changes their values; `volume unset` removes keys.
    """
    _require(given)
    found = find.volume(app.controller, volume)
    if given["name"] is not None:
        _check_volume_name(app, found, given["name"], allow=allow_duplicate)
    _edit(found, lambda edited: _set(edited, given), f"volume {volume}", app)
    app.result({**items.volume(found), "changed": found.changed}, None)


def _check_volume_name(app: App, volume: cl.Volume, name: str, *, allow: bool) -> None:
    given = {"id": volume.id, "allow_duplicate": allow}
    naming.of_volume(app.controller, name, backend_name(volume), given)


@click.command("unset", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@_keys
@single(views.VOLUMES)
@pass_app
def unset(app: App, volume: str, keys: tuple[str, ...]) -> None:
    """Remove metadata of a volume."""
    found = find.volume(app.controller, volume)
    _edit(found, lambda edited: _unset(edited, keys), f"volume {volume}", app)
    app.result({**items.volume(found), "changed": found.changed}, None)


@click.command("rename", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("name")
@_allow_duplicate
@single(views.VOLUMES)
@pass_app
def rename(app: App, volume: str, name: str, allow_duplicate: bool) -> None:
    """Change the name of a volume.

    The name on the storage depends on the ID, and does not change.
    """
    found = find.volume(app.controller, volume)
    _check_volume_name(app, found, name, allow=allow_duplicate)
    _edit(found, lambda edited: _set(edited, {"name": name}), f"volume {volume}", app)
    app.result({**items.volume(found), "changed": found.changed}, None)


@click.command("set", cls=Command)
@click.argument("snapshot", shell_complete=completing.snapshots)
@click.option("--name", help="A new name.")
@options.described
@_allow_duplicate
@single(views.SNAPSHOTS)
@pass_app
def set_snapshot(app: App, /, snapshot: str, allow_duplicate: bool, **given: Any) -> None:
    """Change the name, description or metadata of a snapshot."""
    _require(given)
    found = find.snapshot(app.controller, snapshot)
    volume = found.volume
    if given["name"] is not None:
        allowed = {"id": found.id, "allow_duplicate": allow_duplicate}
        naming.of_snapshot(volume, given["name"], allowed)
    _edit(found, lambda edited: _set(edited, given), f"snapshot {snapshot}", app)
    result = items.snapshot(found, volume.name or volume.id)
    app.result({**result, "changed": found.changed}, None)


@click.command("unset", cls=Command)
@click.argument("snapshot", shell_complete=completing.snapshots)
@_keys
@single(views.SNAPSHOTS)
@pass_app
def unset_snapshot(app: App, snapshot: str, keys: tuple[str, ...]) -> None:
    """Remove metadata of a snapshot."""
    found = find.snapshot(app.controller, snapshot)
    _edit(found, lambda edited: _unset(edited, keys), f"snapshot {snapshot}", app)
    result = items.snapshot(found, found.volume.name or found.volume_id)
    app.result({**result, "changed": found.changed}, None)
