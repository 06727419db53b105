"""The verbs of ``cinderlib volume`` and ``cinderlib snapshot`` for extents and streams."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from cinderlib import errors
from cinderlib.cli import completing, find, items, sizes, streaming, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    import cinderlib as cl

_since = click.option(
    "--since",
    metavar="SNAPSHOT",
    help="List only the changes since this snapshot.",
    shell_complete=completing.snapshots,
)


@click.command("extents", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@_since
@listing(views.EXTENTS)
@pass_app
def volume_extents(app: App, volume: str, since: str | None) -> None:
    """List the bytes that are data, or changed since a snapshot."""
    _list(app, find.volume(app.controller, volume), since)


@click.command("extents", cls=Command)
@click.argument("snapshot", shell_complete=completing.snapshots)
@_since
@listing(views.EXTENTS)
@pass_app
def snapshot_extents(app: App, snapshot: str, since: str | None) -> None:
    """List the bytes that are data, or changed since a snapshot."""
    _list(app, find.snapshot(app.controller, snapshot), since)


def _list(app: App, of: cl.Volume | cl.Snapshot, since: str | None) -> None:
    base = None if since is None else find.snapshot(app.controller, since)
    app.backend_of(of)
    app.list_items(dataclasses.asdict(each) for each in of.extents(base))


@click.command("export", cls=Command)
@click.argument("snapshot", shell_complete=completing.snapshots)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--since",
    metavar="SNAPSHOT",
    help="Write only the changes since this older snapshot of the volume.",
    shell_complete=completing.snapshots,
)
@pass_app
def export_snapshot(app: App, snapshot: str, file: str, since: str | None) -> None:
    """Write a stream of the content of a snapshot, or its changes.

    FILE must not exist, and is removed if the export fails. - writes to standard output. The volume
    can be in use. `volume import` and `volume apply` read streams.
    """
    found = find.snapshot(app.controller, snapshot)
    app.backend_of(found)
    streaming.export(app, found, file, since, f"snapshot {snapshot}")


@click.command("apply", cls=Command)
@click.argument("volume", shell_complete=completing.volumes)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@destructive
@single(views.VOLUMES)
@pass_app
def apply(app: App, volume: str, file: str, yes: bool, dry_run: bool) -> None:
    """Write a stream to an existing volume.

    FILE is a stream of `snapshot export` or `volume export`: a path, or an http or https URL; -
    reads standard input. A stream with changes is refused if the volume does not have the content
    that they are based on. If the command is interrupted, repeat it with the same stream.
    """
    from cinderlib.cli import sources

    found = find.volume(app.controller, volume, find.rule_to_destroy(yes=yes))
    with sources.opened(file) as image:
        stream = streaming.stream_in(image)
        if stream is None:
            raise errors.InvalidInput(
                "The file is not a stream: `volume import` creates a volume from an image"
            )
        what = f"replace the content of volume {find.label(found)} with {stream.header.point}"
        if not agreed(what, yes=yes, dry_run=dry_run):
            return
        app.backend_of(found)
        with app.working(f"Applying to {volume}"):
            applied = found.apply_stream(stream, progress=app.show_progress)
    if applied.changed:
        data = sizes.of_bytes(applied.data_bytes)
        app.say(f"Volume {volume} has the content of {applied.point}: {data} of data written.")
    else:
        app.say(f"Volume {volume} already has the content of {applied.point}; nothing changed.")
    app.result({**items.volume(found), "changed": applied.changed}, None)
