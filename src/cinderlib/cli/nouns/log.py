"""``cinderlib log``."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import completing, filters, find, items, options, output, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import listing

if TYPE_CHECKING:
    import cinderlib as cl

#: How many operations are listed without --since and --limit.
_NEWEST = 100
#: Seconds between two queries.
_INTERVAL = 1.0
#: An operation can appear after another one that ended later, in another process.
_LATE = datetime.timedelta(seconds=10)


class Since(filters.Age):
    """An age, or a time in RFC 3339."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime.timedelta:
        with contextlib.suppress(ValueError, TypeError):
            at = datetime.datetime.fromisoformat(value)
            return datetime.datetime.now(datetime.UTC) - at.astimezone(datetime.UTC)
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(
                f"{value!r} is neither an age such as 30m, 12h or 7d, nor a time such as"
                " 2026-01-31T12:00"
            )


@click.command(cls=Command)
@click.argument("resource", required=False, shell_complete=completing.volumes)
@options.backend
@click.option(
    "--since",
    type=Since(),
    metavar="TIME",
    help="List only operations that ended after this time, or within this age: 30m, 12h, 7d.",
)
@click.option("-f", "--follow", is_flag=True, help="Continue to write operations as they end.")
@listing(views.OPERATIONS)
@pass_app
def log(
    app: App,
    resource: str | None,
    backend: str | None,
    since: datetime.timedelta | None,
    follow: bool,
) -> None:
    """List the operations with their users, times and outcomes.

    RESOURCE is a volume or snapshot, which may be deleted. The operations of a volume include those
    of snapshots and connections of the volume. Running operations come last. Without --since and
    --limit, only the newest 100 are listed.
    """
    start = None if since is None else datetime.datetime.now(datetime.UTC) - since
    newest = app.form.limit or (_NEWEST if start is None else None)
    asked: dict[str, Any] = {"backend": app.on_backend(backend)}
    asked["resource"] = None if resource is None else _id_of(app.controller, resource)
    found = app.controller.history(**asked, since=start, limit=newest, running=not follow)
    if resource is not None and asked["resource"] == resource and not found and start is None:
        raise errors.NotFound(
            "No volume or snapshot has this name or ID, and the history has no operation on one:"
            f" {resource!r}",
            resource=resource,
        )
    if not follow:
        app.list_items(map(items.operation, found))
        return
    try:
        _follow(app, asked, found)
    except KeyboardInterrupt:
        click.get_current_context().exit(130)


def _id_of(controller: cl.Controller, named: str) -> str:
    """The ID of a volume or snapshot, or the text itself: it may be deleted."""
    for search in (find.volume, find.snapshot):
        with contextlib.suppress(errors.NotFound):
            return search(controller, named).id
    return named


def _follow(app: App, asked: dict[str, Any], found: list[cl.Operation]) -> None:
    """Write operations as they end, one a line, until the user interrupts it."""
    written: set[str] = set()
    latest = datetime.datetime.now(datetime.UTC)
    while True:
        for operation in found:
            if operation.id in written:
                continue
            written.add(operation.id)
            if operation.ended_at is not None:
                latest = max(latest, operation.ended_at)
            _write(app, operation)
        sys.stdout.flush()
        time.sleep(_INTERVAL)
        found = app.controller.history(**asked, since=latest - _LATE, running=False)


def _write(app: App, operation: cl.Operation) -> None:
    if app.as_json:
        import json

        text = {
            key: value for key, value in items.operation(operation).items() if value is not None
        }
        click.echo(json.dumps(output.plain_data(text)))
        return
    ended = operation.ended_at
    facts = (
        "" if ended is None else ended.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        operation.operation,
        operation.name or operation.resource_id,
        operation.outcome,
        f"{operation.seconds:.3f} s",
        operation.user,
        operation.error,
    )
    click.echo("  ".join(output.message(str(fact)) for fact in facts if fact))
