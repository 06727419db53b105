"""``cinderlib volume wipe``."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import click

from cinderlib.cli import completing, failures, find, items, options, sizes
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Command, pass_app

if TYPE_CHECKING:
    import cinderlib as cl


@click.command("wipe", cls=Command)
@click.argument(
    "volumes", nargs=-1, required=True, metavar="VOLUME...", shell_complete=completing.volumes
)
@options.wait
@destructive
@pass_app
def wipe(app: App, volumes: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Overwrite all data of volumes with zeros.

    The volumes are attached to this host meanwhile, and must not be in use. Data is discarded if
    the device supports that. Snapshots and copies keep their data.
    """
    rule = find.rule_to_destroy(yes=yes)
    failed = failures.Failures(app, len(volumes))
    search = functools.partial(find.volume, app.controller, rule=rule)
    found = failures.found(failed, volumes, "volume", search)
    what = "volume" if len(found) == 1 else f"{len(found)} volumes:"
    labels = ", ".join(find.label(each, *_facts(each)) for each in found)
    if found and agreed(f"overwrite all data of {what} {labels}", yes=yes, dry_run=dry_run):
        _wipe_each(app, failed, found)
    failed.end()


def _facts(volume: cl.Volume) -> list[str]:
    kept = len(volume.snapshots)
    has_kept = [f"{sizes.counted({'snapshots': kept})} with data that stays"] if kept else []
    return [sizes.of_gib(volume.size), *has_kept]


def _wipe_each(app: App, failed: failures.Failures, found: list[cl.Volume]) -> None:
    results = []
    for volume in found:
        name = volume.name or volume.id
        result = {**items.volume(volume), "changed": False}
        results.append(result)
        with failed.of(f"volume {name}", result):
            with app.working(f"Wiping {name}"):
                app.backend_of(volume)
                app.patiently(volume.wipe)
            result |= {**items.volume(volume), "changed": volume.changed}
            app.say(f"Wiped volume {name}.")
    if app.as_json:
        app.write(results)
