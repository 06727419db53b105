"""Names of new volumes, snapshots and groups: by default, a name is not used twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cinderlib import errors
from cinderlib.cli import exits, find
from cinderlib.records import name_of_copy

if TYPE_CHECKING:
    import cinderlib as cl

F = TypeVar("F", bound=Callable[..., Any])


def options(function: F) -> F:
    """``--if-not-exists`` and ``--allow-duplicate``."""
    for option in (
        click.option(
            "--allow-duplicate", is_flag=True, help="Allow a name that is already in use."
        ),
        click.option(
            "--if-not-exists",
            is_flag=True,
            help="If the name exists with the same properties, use it and change nothing.",
        ),
    ):
        function = option(function)
    return function


def of_volume(
    controller: cl.Controller, name: str, backend: str | None, given: dict[str, Any]
) -> dict[str, Any]:
    """Check the name of a new volume.

    :param backend: name of the volume's backend; ``None`` checks all.
    :param given: the arguments of the verb, including those of :func:`options`, which are removed;
        without ``if_not_exists`` for an existing volume.
    :returns: the arguments. With ``--if-not-exists``, ``id`` is that of the existing volume, so
        that the library compares it with the request.
    :raises AlreadyExists: a volume on the backend has the name.
    """
    found = controller.volumes(backend=backend, name=name)
    where = "on a backend" if backend is None else f"on {backend}"
    return _checked(found, f"Volume {name}", where, given)


def of_snapshot(volume: cl.Volume, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Check the name of a new snapshot, which is unique for each volume, like
    :func:`of_volume`."""
    found = (each for each in volume.snapshots if each.name == name)
    where = f"of volume {volume.name or volume.id}"
    return _checked(found, f"Snapshot {name}", where, given)


def of_group(
    controller: cl.Controller,
    name: str,
    backend: str,
    given: dict[str, Any],
    sources: Iterable[cl.Volume] = (),
) -> dict[str, Any]:
    """Check the name of a new group, and the names of the volumes that are created in it, like
    :func:`of_volume`.

    :param sources: the volumes of which the group gets copies.
    """
    allow, groups = given["allow_duplicate"], list(controller.groups(backend=backend, name=name))
    given = _checked(groups, f"Group {name}", f"on {backend}", given)
    id = given.get("id")
    if allow or any(each.id == id for each in groups):
        return given
    names: set[str] = set()
    for copy in (name_of_copy(name, each.name) for each in sources):
        if copy in names:
            raise errors.AlreadyExists(
                f"Several volumes would have the name {copy}; nothing changed. Add"
                " --allow-duplicate"
            )
        names.add(copy)
        # The volumes of an interrupted command with the same `--id` are deleted first.
        found = controller.volumes(backend=backend, name=copy)
        others = (each for each in found if id is None or each.group_id != id)
        _checked(others, f"Volume {copy}", f"on {backend}", {"allow_duplicate": False})
    return given


def _checked(
    found: Iterable[cl.Volume | cl.Snapshot | cl.Group],
    what: str,
    where: str,
    given: dict[str, Any],
) -> dict[str, Any]:
    allow, reuse = given.pop("allow_duplicate"), given.pop("if_not_exists", None)
    id = given.get("id")
    if reuse and (allow or id is not None):
        raise click.UsageError("Choose one of `--if-not-exists`, `--allow-duplicate` and `--id`.")
    if allow:
        return given
    existing = list(found)
    if any(each.id == id for each in existing) or not existing:
        return given
    if reuse and len(existing) == 1:
        exits.name_in_messages(existing[0].id, existing[0].name)
        return {**given, "id": existing[0].id}
    error = errors.AlreadyExists(
        f"{what} already exists {where}; nothing changed. Choose another name, or add"
        f" {'--if-not-exists to use the existing one, or ' if reuse is False else ''}"
        "--allow-duplicate",
        resource=existing[0].id,
    )
    find.add_candidates(error, existing)
    raise error
