"""The verbs of ``cinderlib volume`` and ``cinderlib snapshot`` for existing volumes and
snapshots."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import (
    completing,
    failures,
    find,
    items,
    naming,
    options,
    references,
    sizes,
    views,
)
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    import cinderlib as cl

_ID = "The ID; by default a new one. With the ID of a managed {}, the command changes nothing."
_all = click.option(
    "--all", "every", is_flag=True, help="Include those that are managed or cannot be managed."
)
_reference = click.argument("reference", type=references.Reference())


def _listed(app: App, found: Iterable[cl.Manageable], *, every: bool) -> None:
    chosen = (each for each in found if every or each.safe_to_manage)
    app.list_items(
        {"name": references.text(each.reference), **dataclasses.asdict(each)} for each in chosen
    )


@click.command("manageable", cls=Command)
@options.backend
@_all
@listing(views.MANAGEABLE)
@pass_app
def volumes_manageable(app: App, backend: str | None, every: bool) -> None:
    """List existing volumes that can be managed."""
    loaded = app.backend(backend)
    with app.working(f"Listing the volumes on the storage of {loaded.id}"):
        found = loaded.manageable_volumes()
    _listed(app, found, every=every)


@click.command("manageable", cls=Command)
@options.backend
@_all
@listing(views.MANAGEABLE)
@pass_app
def snapshots_manageable(app: App, backend: str | None, every: bool) -> None:
    """List existing snapshots that can be managed."""
    loaded = app.backend(backend)
    with app.working(f"Listing the snapshots on the storage of {loaded.id}"):
        found = loaded.manageable_snapshots()
    _listed(app, found, every=every)


@click.command("manage", cls=Command)
@_reference
@click.argument("name")
@options.backend
@click.option("--pool", help="The pool of the volume; by default the backend's first.")
@click.option("--id", help=_ID.format("volume"))
@options.described
@click.option("--bootable", is_flag=True, default=None, help="Mark the volume as bootable.")
@click.option("--multiattach", is_flag=True, default=None, help="Allow several hosts to use it.")
@options.specs
@naming.options
@single(views.VOLUMES)
@pass_app
def manage_volume(
    app: App,
    /,
    reference: dict[str, Any],
    name: str,
    backend: str | None,
    pool: str | None,
    **fields: Any,
) -> None:
    """Manage an existing volume as volume NAME.

    Its data does not change. REFERENCE identifies it for the driver, as `volume manageable` shows
    it: its name on the storage, or a JSON object. Most drivers rename the volume.
    """
    app.may_create_store()
    given = {"name": name, "pool_name": pool, **fields}
    given = {field: value for field, value in given.items() if value is not None}
    backend = app.configuration.only_backend() if backend is None else backend
    given = naming.of_volume(app.controller, name, backend, given)
    with app.working(f"Managing {name}"):
        managed = app.backend(backend).manage_volume(reference, **given)
    size = sizes.of_gib(managed.size)
    app.say(
        f"Volume {name} is managed: {size}, on {backend}."
        if managed.changed
        else f"Volume {name} is already managed ({size}, on {backend}); nothing changed."
    )
    app.result({**items.volume(managed), "changed": managed.changed}, managed.id)


@click.command("manage", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@_reference
@click.argument("name")
@click.option("--id", help=_ID.format("snapshot"))
@options.described
@naming.options
@single(views.SNAPSHOTS)
@pass_app
def manage_snapshot(
    app: App, /, volume: str, reference: dict[str, Any], name: str, **fields: Any
) -> None:
    """Manage an existing snapshot as snapshot NAME.

    Its data does not change. REFERENCE identifies it for the driver, as `snapshot manageable` shows
    it: its name on the storage, or a JSON object.
    """
    source = find.volume(app.controller, volume)
    given = {field: value for field, value in fields.items() if value is not None}
    given = naming.of_snapshot(source, name, given)
    with app.working(f"Managing snapshot {name} of {volume}"):
        app.backend_of(source)
        managed = source.manage_snapshot(reference, name=name, **given)
    of_volume = f"Snapshot {name} of volume {source.name or source.id}"
    app.say(
        f"{of_volume} is managed."
        if managed.changed
        else f"{of_volume} is already managed; nothing changed."
    )
    result = items.snapshot(managed, source.name or source.id)
    app.result({**result, "changed": managed.changed}, managed.id)


@click.command("unmanage", cls=Command)
@click.argument(
    "volumes", nargs=-1, required=True, metavar="VOLUME...", shell_complete=completing.volumes
)
@pass_app
def unmanage_volumes(app: App, volumes: tuple[str, ...]) -> None:
    """Remove the records of volumes, and keep their data.

    `volume manage` adopts an unmanaged volume again. A volume with snapshots or connections
    is not unmanaged. An error does not affect the other volumes.
    """
    _unmanage(app, volumes, "volume", find.volume)


@click.command("unmanage", cls=Command)
@click.argument(
    "snapshots",
    nargs=-1,
    required=True,
    metavar="SNAPSHOT...",
    shell_complete=completing.snapshots,
)
@pass_app
def unmanage_snapshots(app: App, snapshots: tuple[str, ...]) -> None:
    """Remove the records of snapshots, and keep their data.

    `snapshot manage` adopts an unmanaged snapshot again. An error does not affect the
    other snapshots.
    """
    _unmanage(app, snapshots, "snapshot", find.snapshot)


def _unmanage(app: App, named: tuple[str, ...], what: str, search: Callable[..., Any]) -> None:
    """Unmanage resources, and show the name of each on the storage.

    :param what: the kind of the resources, such as ``'volume'``.
    :param search: returns the resource for an argument.
    """
    failed = failures.Failures(app, len(named))
    rule = find.EXACT
    found = failures.found(
        failed, named, what, functools.partial(search, app.controller, rule=rule)
    )
    results = []
    for item in found:
        name = item.name or item.id
        result = {"id": item.id, "name": item.name, "changed": False}
        results.append(result)
        with failed.of(f"{what} {name}", result):
            with app.working(f"Unmanaging {name}"):
                app.backend_of(item)
                result["name_in_storage"] = item.name_in_storage
                item.unmanage()
            result["changed"] = item.changed
            app.say(
                f"{what.capitalize()} {name} is no longer managed. Its name on the storage was"
                f" {result['name_in_storage']}."
            )
    if app.as_json:
        app.write(results)
    failed.end()
