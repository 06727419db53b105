"""``cinderlib reconcile``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from cinderlib.cli import completing, exits, find, output
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, agreed, destructive, pass_app

if TYPE_CHECKING:
    from cinderlib.operations.discrepancies import Discrepancy


@click.command(cls=Command)
@click.argument("name", required=False, metavar="[BACKEND]", shell_complete=completing.backends)
@click.option("--repair", is_flag=True, help="Put right what is safe. No volume is removed by it.")
@click.option(
    "--remove",
    multiple=True,
    metavar="ID",
    help="Remove an orphan, with its data, or the record of what is missing, dangling or damaged."
    " May be given several times.",
)
@destructive
@pass_app
def reconcile(
    app: App, name: str | None, repair: bool, remove: tuple[str, ...], yes: bool, dry_run: bool
) -> None:
    """Compare the store with the storage, by default of all backends of the configuration.

    A volume that the storage has and the store has not can be another store's, or a Cinder's: it is
    removed only when it is named with --remove.

    Ends with 1 when something is left that is not in order.
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
                click.echo(f"Backend {each} cannot be compared: {exits.one_line(error)}", err=True)
    found = [discrepancy for _, discrepancies in loaded for discrepancy in discrepancies]
    rule = find.rule_to_destroy(yes=yes)
    wanted = {_removable(found, given, rule) for given in remove}
    gone = [each for each in found if each.resource_id in wanted]
    if dry_run:
        _say_what_would_be(app, found, gone, repair=repair)
    elif (repair or gone) and (not gone or agreed(_what(gone), yes=yes, dry_run=False)):
        with app.working("Putting right"):
            found = []
            for backend, discrepancies in loaded:
                ids = wanted & {discrepancy.resource_id for discrepancy in discrepancies}
                found += backend.reconcile(repair=repair, remove=ids)
    if app.as_json:
        output.as_json([dataclasses.asdict(discrepancy) for discrepancy in found])
    else:
        header = ("PROBLEM", "KIND", "ID", "BACKEND", "REMEDY", "OUTCOME", "WHAT")
        output.table(header, [_row(discrepancy) for discrepancy in found])
        app.say_empty(found, "differences between store and storage")
    if failed or any(_is_left(discrepancy) for discrepancy in found):
        click.get_current_context().exit(1)


def _is_left(discrepancy: Discrepancy) -> bool:
    # What a driver cannot verify is no sign that something is wrong.
    done = discrepancy.outcome in ("repaired", "removed")
    return not done and discrepancy.problem != "unverified"


def _row(discrepancy: Discrepancy) -> tuple[str, ...]:
    outcome = "" if discrepancy.outcome == "found" else discrepancy.outcome
    what = (
        f"{discrepancy.detail}: {discrepancy.reason}" if discrepancy.reason else discrepancy.detail
    )
    return (
        discrepancy.problem,
        discrepancy.kind,
        discrepancy.resource_id or discrepancy.name,
        discrepancy.backend,
        discrepancy.remedy,
        outcome,
        " ".join(what.split()),
    )


def _removable(found: Sequence[Discrepancy], given: str, rule: find.Rule) -> str:
    """The ID of the discrepancy that an argument of ``--remove`` names.

    :raises InvalidInput: several match.
    :raises NotFound: none that can be removed matches, or not exactly enough.
    """
    from cinderlib import errors

    ids = {each.resource_id for each in found if each.remedy and each.problem in _REMOVED}
    if given in ids:
        return given
    near, hint = find.beginning(ids, given, rule)
    if len(near) > 1:
        raise errors.InvalidInput(f"{len(near)} ids begin with {given!r}: {', '.join(near)}")
    if not near:
        raise errors.NotFound(
            f"Nothing that can be removed has the ID {given!r}{hint}. --remove takes the ID of what"
            f" reconcile finds as {', '.join(_REMOVED)}",
            resource=given,
        )
    return near[0]


_REMOVED = ("orphan", "missing", "dangling", "damaged")


def _what(gone: Sequence[Discrepancy]) -> str:
    told = [
        f"{each.name or f'{each.kind} {each.resource_id}'} with all data"
        if each.problem == "orphan"
        else f"the record of {each.kind} {each.resource_id}"
        for each in gone
    ]
    return f"remove {', '.join(told)}"


def _say_what_would_be(
    app: App, found: Sequence[Discrepancy], gone: Sequence[Discrepancy], *, repair: bool
) -> None:
    if gone:
        agreed(_what(gone), yes=False, dry_run=True)
    repaired = [each for each in found if each.remedy == "repair" and each not in gone]
    if repair and repaired:
        app.say(f"Would repair {len(repaired)} of what follows.")
