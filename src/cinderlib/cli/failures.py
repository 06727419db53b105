"""Errors of some of several items: the command continues with the others, reports each error, and
ends with the exit code of the worst."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from cinderlib.cli import exits, find
from cinderlib.cli.app import App

R = TypeVar("R", bound=Any)

#: Exit codes from the least to the worst: an unknown result is worse than a refusal.
_ORDER = (7, 3, 4, 2, 5, 6, 11, 1, 8, 9, 10)


class Failures:
    """The errors of a run of a verb.

    :param items: number of items of the verb.
    """

    def __init__(self, app: App, items: int) -> None:
        self._app = app
        self._several = items > 1
        self._codes: list[int] = []

    @contextlib.contextmanager
    def of(self, what: str, result: dict[str, Any] | None = None) -> Iterator[None]:
        """Report an error of the block, and continue after the block.

        :param what: name of the item, for example ``'volume data'``.
        :param result: gets the error as ``error``.
        """
        from cinderlib.errors import CinderlibError

        try:
            yield
        except CinderlibError as error:
            if self._several:
                error.add_note(f"The command continues without {what}.")
            exits.report(error, as_json=self._app.as_json, debug=self._app.debug)
            self._codes.append(exits.exit_code(error))
            if result is not None:
                result["error"] = exits.document(error)

    def end(self) -> None:
        """End the command with the exit code of the worst error, if there was an error."""
        if self._codes:
            worst = max(self._codes, key=lambda code: _ORDER.index(code) if code in _ORDER else 0)
            click.get_current_context().exit(worst)


def found(
    failures: Failures, named: Iterable[str], what: str, search: Callable[[str], R]
) -> list[R]:
    """The resources for the arguments of a verb, without those that do not exist.

    :param what: the kind of the resources, such as ``'volume'``.
    :param search: returns the resource for an argument.
    """
    resources = []
    for each in named:
        with failures.of(f"{what} {each}"):
            resources.append(search(each))
    return find.distinct(resources)


def delete_each(
    app: App,
    failures: Failures,
    resources: Iterable[Any],
    what: str,
    *,
    first: Callable[[Any], Iterable[Any]] | None = None,
    delete: Callable[[Any], None] = lambda item: item.delete(),
) -> None:
    """Delete resources, and report each.

    :param what: the kind of the resources, such as ``'volume'``.
    :param first: returns the snapshots of a resource to delete before it.
    :param delete: deletes a resource.
    """
    results = []
    for item in resources:
        name = item.name or item.id
        result = {"id": item.id, "name": item.name, "changed": False}
        results.append(result)
        with failures.of(f"{what} {name}", result):
            with app.working(f"Deleting {name}"):
                app.backend_of(item)
                for snapshot in first(item) if first is not None else ():
                    app.patiently(snapshot.delete)
                    app.say(f"Deleted snapshot {snapshot.name or snapshot.id}.")
                _delete(app, item, delete, with_snapshots=first is not None)
            result["changed"] = item.changed
            app.say(f"Deleted {what} {name}.")
    if app.as_json:
        app.write(results)


def _delete(app: App, item: Any, delete: Callable[[Any], None], *, with_snapshots: bool) -> None:
    from cinderlib.errors import InvalidVolume

    try:
        app.patiently(lambda: delete(item))
    except InvalidVolume as exc:
        alone = getattr(item, "group_id", None) is None
        if alone and not with_snapshots and getattr(item, "snapshots", None):
            exc.add_note("Add --cascade to delete its snapshots too.")
        raise
