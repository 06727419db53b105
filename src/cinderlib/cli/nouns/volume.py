"""``cinderlib volume``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, failures, filters, find, items, naming, options, sizes, views
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.output_options import listing, single
from cinderlib.validation import VOLUME_STATUSES
from cinderlib.value_checks import check_choice

if TYPE_CHECKING:
    import cinderlib as cl


#: The verbs in other modules.
_VERBS = {
    "apply": "extents:apply",
    "attach": "volume_attach:attach",
    "connect": "volume_attach:connect",
    "detach": "volume_attach:detach",
    "disconnect": "volume_attach:disconnect",
    "export": "volume_transfer:export",
    "extents": "extents:volume_extents",
    "import": "volume_transfer:import_",
    "manage": "manage:manage_volume",
    "manageable": "manage:volumes_manageable",
    "migrate": "migrate:migrate",
    "rename": "volume_edit:rename",
    "retype": "type:retype",
    "set": "volume_edit:set_",
    "unmanage": "manage:unmanage_volumes",
    "unset": "volume_edit:unset",
    "wipe": "volume_wipe:wipe",
}


@click.group(cls=Group, verbs=_VERBS)
def volume() -> None:
    """Create, list, show, extend, clone, attach and delete volumes."""


@volume.command("create")
@click.argument("name")
@click.argument("size", type=sizes.Size(), required=False)
@options.backend_or_auto
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
@options.specs
@naming.options
@single(views.VOLUMES)
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
        given = naming.of_volume(app.controller, name, backend_name(source), given)
        with app.working(f"Creating {name} from snapshot {snapshot}"):
            app.backend_of(source)
            created = source.create_volume(**given)
    elif size is None:
        raise click.UsageError("Specify SIZE, for example 10GiB, or --snapshot.")
    elif app.configuration.is_chosen_for_volumes(backend, given.get("type")):
        if pool is not None:
            raise click.UsageError("--pool requires the --backend that it belongs to.")
        given = naming.of_volume(app.controller, name, None, given)
        with app.working(f"Creating {name}"):
            created = app.place(**given)
    else:
        backend = app.configuration.only_backend() if backend is None else backend
        given = naming.of_volume(app.controller, name, backend, given)
        with app.working(f"Creating {name}"):
            created = app.backend(backend).create_volume(**given)
    app.say(_created(created))
    app.result({**items.volume(created), "changed": created.changed}, created.id)


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
@filters.name
@click.option("--status", help="List only volumes with this status.")
@filters.pool
@filters.host
@filters.metadata
@filters.size_and_age
@listing(views.VOLUMES)
@pass_app
def list_(app: App, /, backend: str | None, **given: Any) -> None:
    """List volumes, oldest first."""
    if given["status"] is not None:
        check_choice(given["status"], VOLUME_STATUSES, "status")
    name = given["name"]
    exact = name if name is not None and not filters.is_pattern(name) else None
    found = app.controller.volumes(backend=app.on_backend(backend), name=exact)
    item = items.Volumes(app.controller.connections(backend=backend))
    app.list_items(filters.chosen(map(item, found), given))


@volume.command("show")
@click.argument("volume", shell_complete=completing.volumes)
@single(views.VOLUMES)
@pass_app
def show(app: App, volume: str) -> None:
    """Show the details of a volume."""
    app.show(items.volume_in_full(find.volume(app.controller, volume)))


@volume.command("extend")
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("size", type=sizes.Size())
@options.wait
@single(views.VOLUMES)
@pass_app
def extend(app: App, volume: str, size: float) -> None:
    """Extend a volume to SIZE, even if it is in use."""
    found = find.volume(app.controller, volume)
    with app.working(f"Extending {volume}"):
        app.backend_of(found)
        app.patiently(lambda: found.extend(size))
    already = "" if found.changed else " already"
    app.say(f"Volume {volume} is{already} {sizes.of_gib(found.size)}.")
    app.result({**items.volume(found), "changed": found.changed}, None)


@volume.command("clone")
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("name")
@click.argument("size", type=sizes.Size(), required=False)
@click.option("--id", help="The ID of the new volume; by default a new one.")
@options.specs
@naming.options
@options.wait
@single(views.VOLUMES)
@pass_app
def clone(app: App, /, volume: str, name: str, **fields: Any) -> None:
    """Create a volume NAME with the data of another volume.

    SIZE can be larger than the size of the source volume.
    """
    source = find.volume(app.controller, volume)
    given = {k: v for k, v in fields.items() if v is not None}
    given = naming.of_volume(app.controller, name, backend_name(source), given)
    with app.working(f"Cloning {volume}"):
        app.backend_of(source)
        created = app.patiently(lambda: source.clone(name=name, **given))
    app.say(_created(created))
    app.result({**items.volume(created), "changed": created.changed}, created.id)


@volume.command("delete")
@click.argument(
    "volumes", nargs=-1, required=True, metavar="VOLUME...", shell_complete=completing.volumes
)
@click.option("--cascade", is_flag=True, help="Delete the snapshots of the volumes too.")
@options.wait
@destructive
@pass_app
def delete(app: App, volumes: tuple[str, ...], cascade: bool, yes: bool, dry_run: bool) -> None:
    """Delete volumes and their data.

    An error does not affect the other volumes. The exit code is that of the worst error.
    """
    rule = find.rule_to_destroy(yes=yes)
    failed = failures.Failures(app, len(volumes))
    search = functools.partial(find.volume, app.controller, rule=rule)
    found = failures.found(failed, volumes, "volume", search)
    labels = [_to_delete(item, cascade=cascade) for item in found]
    what = "volume" if len(found) == 1 else f"{len(found)} volumes:"
    if found and agreed(
        f"delete {what} {', '.join(labels)} and all data", yes=yes, dry_run=dry_run
    ):
        failures.delete_each(app, failed, found, "volume", first=_snapshots if cascade else None)
    failed.end()


def _to_delete(volume: cl.Volume, *, cascade: bool) -> str:
    snapshots = volume.snapshots if cascade else []
    names = ", ".join(each.name or each.id for each in snapshots)
    with_snapshots = f"with {sizes.counted({'snapshots': len(snapshots)})}: {names}"
    facts = (sizes.of_gib(volume.size), *((with_snapshots,) if snapshots else ()))
    return find.label(volume, *facts)


def _snapshots(volume: cl.Volume) -> list[cl.Snapshot]:
    return volume.snapshots[::-1]
