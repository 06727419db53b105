"""``cinderlib reconcile``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cinderlib.cli import completing, exits, find, output, views
from cinderlib.cli.app import App
from cinderlib.cli.confirmation import agreed, destructive
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import listing

if TYPE_CHECKING:
    from cinderlib.operations.discrepancies import Discrepancy


@click.command(cls=Command)
@click.argument("name", required=False, metavar="[BACKEND]", shell_complete=completing.backends)
@click.option("--repair", is_flag=True, help="Apply safe repairs. They never remove a volume.")
@click.option(
    "--remove",
    multiple=True,
    metavar="ID",
    help="Remove an orphan with its data, or the record of a missing, dangling or damaged resource."
    " Can be repeated.",
)
@destructive
@listing(views.DISCREPANCIES)
@pass_app
def reconcile(
    app: App, name: str | None, repair: bool, remove: tuple[str, ...], yes: bool, dry_run: bool
) -> None:
    """Compare the store with the storage.

    By default, it compares all configured backends.

    An orphan is a volume on the storage without a record in the store. It can belong to another
    store or to Cinder, so it is removed only if you specify it with --remove.

    The exit code is 1 if differences remain.
    """
    from cinderlib.errors import CinderlibError

    app.require_store()
    loaded, failed = [], False
    with app.working("Comparing"):
        for each in [name] if name is not None else list(app.configuration.backends):
            try:
                backend = app.backend(each)
                loaded.append((backend, backend.reconcile()))
            except CinderlibError as error:
                failed = True
                click.echo(
                    f"Cannot compare backend {output.message(each[:80])}: {exits.one_line(error)}",
                    err=True,
                )
    found = [discrepancy for _, discrepancies in loaded for discrepancy in discrepancies]
    rule = find.rule_to_destroy(yes=yes)
    wanted = {_removable(found, given, rule) for given in remove}
    removed = [each for each in found if each.resource_id in wanted]
    if dry_run:
        _show_changes(app, found, removed, repair=repair)
    elif (repair or removed) and (not removed or agreed(_what(removed), yes=yes, dry_run=False)):
        with app.working("Repairing"):
            found = []
            for backend, discrepancies in loaded:
                ids = wanted & {discrepancy.resource_id for discrepancy in discrepancies}
                found += backend.reconcile(repair=repair, remove=ids)
    app.list_items(map(dataclasses.asdict, found))
    if failed or any(_is_left(discrepancy) for discrepancy in found):
        click.get_current_context().exit(1)


def _is_left(discrepancy: Discrepancy) -> bool:
    # 'unverified' only shows that the driver cannot check the resource.
    done = discrepancy.outcome in ("repaired", "removed")
    return not done and discrepancy.problem != "unverified"


def _removable(found: Sequence[Discrepancy], given: str, rule: find.Rule) -> str:
    """The ID of the discrepancy for an argument of ``--remove``.

    :raises InvalidInput: several discrepancies match.
    :raises NotFound: no removable discrepancy matches, or the argument is not precise enough.
    """
    from cinderlib import errors

    ids = {each.resource_id for each in found if each.remedy and each.problem in _REMOVED}
    if given in ids:
        return given
    near, hint = find.beginning(ids, given, rule)
    if len(near) > 1:
        raise errors.InvalidInput(
            f"{len(near)} IDs begin with {given!r}; specify one: {', '.join(near)}"
        )
    if not near:
        raise errors.NotFound(
            f"No removable resource has the ID {given!r}{hint}. --remove requires the ID of a"
            f" resource that reconcile lists as {', '.join(_REMOVED)}",
            resource=given,
        )
    return near[0]


_REMOVED = ("orphan", "missing", "dangling", "damaged")


def _what(removed: Sequence[Discrepancy]) -> str:
    resources = [
        f"{each.name or f'{each.kind} {each.resource_id}'} with all data"
        if each.problem == "orphan"
        else f"the record of {each.kind} {each.resource_id}"
        for each in removed
    ]
    return f"remove {', '.join(resources)}"


def _show_changes(
    app: App, found: Sequence[Discrepancy], removed: Sequence[Discrepancy], *, repair: bool
) -> None:
    if removed and not app.as_json:
        agreed(_what(removed), yes=False, dry_run=True)
    repaired = [each for each in found if each.remedy == "repair" and each not in removed]
    if repair and repaired:
        app.say(f"Would repair {len(repaired)} of the following differences.")
