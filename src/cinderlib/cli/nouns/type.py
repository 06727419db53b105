"""``cinderlib type``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, find, items, options, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, Group, pass_app
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    import cinderlib as cl

_extra_specs = options.pairs(
    "--extra-spec", "extra_specs", "An extra spec for drivers and for the choice of a backend."
)
_qos_specs = options.pairs(
    "--qos-spec", "qos_specs", "A QoS spec; consumer=front-end lets the host enforce all of them."
)
_encryption = options.pairs(
    "--encryption",
    "encryption",
    "Let hosts encrypt its volumes: provider=luks2 or luks, cipher=..., key_size=...",
)
_type = click.argument("type", shell_complete=completing.types)


def _item(found: cl.VolumeType) -> dict[str, Any]:
    qos = found.qos_specs
    return {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "extra_specs": dict(found.extra_specs),
        "qos_specs": {} if qos is None else dict(qos.specs),
        "qos_consumer": None if qos is None else qos.consumer,
        "encryption": dict(found.encryption),
    }


@click.group("type", cls=Group)
def type_() -> None:
    """Create, list, show, change and delete volume types."""


@type_.command("create")
@click.argument("name")
@click.option("--description", help="A description to store.")
@_extra_specs
@_qos_specs
@_encryption
@single(views.TYPES)
@pass_app
def create(app: App, /, name: str, **given: Any) -> None:
    """Create a volume type NAME: a named set of specs that volumes share.

    Specify it with `volume create --type`, or change the type of a volume with `volume retype`.
    """
    app.may_create_store()
    chosen = {field: value for field, value in given.items() if value is not None}
    created = app.controller.create_type(name, **chosen)
    app.say(f"Volume type {created.name} exists.")
    app.result(_item(created), created.id)


@type_.command("list")
@listing(views.TYPES)
@pass_app
def list_(app: App) -> None:
    """List volume types, oldest first."""
    app.list_items(map(_item, app.controller.types()))


@type_.command("show")
@_type
@single(views.TYPES)
@pass_app
def show(app: App, type: str) -> None:
    """Show the specs of a volume type."""
    app.show(_item(app.controller.volume_type(type)))


@type_.command("set")
@_type
@click.option("--description", help="A new description.")
@_extra_specs
@_qos_specs
@single(views.TYPES)
@pass_app
def set_(app: App, /, type: str, **given: Any) -> None:
    """Add specs to a volume type, or change their values.

    Volumes of the type keep their specs until `volume retype` is called with the same type.
    """
    if all(value is None for value in given.values()):
        raise click.UsageError("Specify at least one option.")
    _change(app, type, given)


@type_.command("unset")
@_type
@click.option(
    "--extra-spec", "extra", multiple=True, metavar="KEY", help="Remove it. Can be repeated."
)
@click.option("--qos-spec", "qos", multiple=True, metavar="KEY", help="Remove it. Can be repeated.")
@single(views.TYPES)
@pass_app
def unset(app: App, type: str, extra: tuple[str, ...], qos: tuple[str, ...]) -> None:
    """Remove specs of a volume type.

    Volumes of the type keep their specs until `volume retype` is called with the same type.
    """
    if not extra and not qos:
        raise click.UsageError("Specify at least one option.")
    _change(app, type, {"extra_specs": dict.fromkeys(extra), "qos_specs": dict.fromkeys(qos)})


def _change(app: App, name: str, changes: dict[str, Any]) -> None:
    before = app.controller.volume_type(name)
    after = app.controller.change_type(name, **changes)
    app.say(f"Changed volume type {name}." if after != before else f"Type {name}: no change.")
    app.result({**_item(after), "changed": after != before}, None)


@click.command("retype", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("type", required=False, shell_complete=completing.types)
@click.option("--no-type", is_flag=True, help="Remove the type and all specs of the volume.")
@options.pairs("--extra-spec", "extra_specs", "An own extra spec, instead of a type.")
@options.pairs("--qos-spec", "qos_specs", "An own QoS spec, instead of a type.")
@click.option(
    "--migrate",
    is_flag=True,
    help="Copy its data to a new volume on this host if the driver cannot change it.",
)
@click.option(
    "--backend",
    metavar="NAME",
    help="With --migrate, move it to this backend; by default it stays on its own.",
    shell_complete=completing.backends,
)
@click.option("--pool", help="With --migrate, the pool; by default the first one of --backend.")
@single(views.VOLUMES)
@pass_app
def retype(
    app: App,
    /,
    volume: str,
    type: str | None,
    no_type: bool,
    extra_specs: dict[str, str] | None,
    qos_specs: dict[str, str] | None,
    migrate: bool,
    backend: str | None,
    pool: str | None,
) -> None:
    """Give a volume the specs of another type, even if it is in use.

    The driver changes the volume on its storage. A driver that cannot do that refuses it, and
    nothing changes. If the specs of the type of the volume have changed, a retype to the same type
    applies them.

    With --migrate, the data is then copied as by `volume migrate --by-copy` to a new volume, which
    replaces the old one; it must not be connected to a host or have snapshots. Only a copy can
    change the encryption. A volume that becomes encrypted becomes 1 GiB larger.
    """
    has_specs = extra_specs is not None or qos_specs is not None
    if (type is not None) + no_type + has_specs != 1:
        raise click.UsageError("Specify a type, own specs, or --no-type.")
    if not migrate and (backend is not None or pool is not None):
        raise click.UsageError("--backend and --pool need --migrate.")
    found = find.volume(app.controller, volume)
    with app.working(f"Retyping {volume}"):
        app.backend_of(found)
        found.retype(
            type,
            extra_specs=extra_specs,
            qos_specs=qos_specs,
            migrate=migrate,
            backend=None if backend is None else app.backend(backend),
            pool=pool,
        )
    app.say(f"Retyped volume {volume}." if found.changed else f"Volume {volume}: no change.")
    app.result({**items.volume(found), "changed": found.changed}, None)


@type_.command("delete")
@click.argument(
    "types", nargs=-1, required=True, metavar="TYPE...", shell_complete=completing.types
)
@pass_app
def delete(app: App, types: tuple[str, ...]) -> None:
    """Delete volume types that no volume has.

    An error does not affect the other types. The exit code is that of the worst error.
    """
    from cinderlib.cli.failures import Failures

    failed = Failures(app, len(types))
    results = []
    for name in types:
        result = {"name": name, "changed": False}
        results.append(result)
        with failed.of(f"volume type {name}", result):
            result["changed"] = app.controller.delete_type(name)
            done = (
                f"Deleted volume type {name}."
                if result["changed"]
                else (f"Volume type {name} does not exist; nothing changed.")
            )
            app.say(done)
    if app.as_json:
        app.write(results)
    failed.end()
