"""Finds the resource for an argument: by ID, by name, or by the beginning of an ID.

A verb that only reads, or that can be undone, accepts the unique beginning of an ID. A verb that
destroys does not: its argument must identify the same resource each time the command runs, even
after the resource is deleted. It accepts the beginning of an ID only if it shows the name and the
complete ID for confirmation.
"""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from cinderlib import errors
from cinderlib.cli import exits, sizes
from cinderlib.value_checks import shown

if TYPE_CHECKING:
    import cinderlib as cl


class _Named(Protocol):
    @property
    def id(self) -> str: ...


class _WithName(_Named, Protocol):
    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=_Named)


@dataclasses.dataclass(frozen=True)
class Rule:
    """The required precision of an argument.

    :ivar shortest: minimum length of the beginning of an ID; ``None`` requires the complete ID.
    :ivar destroys: whether the verb destroys data.
    """

    shortest: int | None
    destroys: bool


#: Minimum length of the beginning of an ID, in characters.
SHORTEST = 3
#: Resources that an error lists at most.
_CANDIDATES = 10

#: For verbs that read, or that can be undone.
ANY = Rule(shortest=SHORTEST, destroys=False)
#: For verbs that destroy without confirmation.
EXACT = Rule(shortest=None, destroys=True)
#: For verbs that destroy after they show the resource for confirmation.
CONFIRMED = Rule(shortest=8, destroys=True)


def rule_to_destroy(*, yes: bool) -> Rule:
    """The required precision of an argument of a verb that destroys.

    :param yes: the value of ``--yes``, which omits the confirmation.
    """
    return EXACT if yes else CONFIRMED


def volume(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.Volume:
    """The volume for an argument.

    :raises VolumeNotFound: no volume matches, or the argument is not precise enough.
    :raises InvalidInput: several volumes match, or the argument is empty.
    """
    by_id, every = controller.volume, controller.volumes
    return _found(named, rule, "volume", by_id, every, errors.VolumeNotFound)


def snapshot(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.Snapshot:
    """The snapshot for an argument.

    :raises SnapshotNotFound: no snapshot matches, or the argument is not precise enough.
    :raises InvalidInput: several snapshots match, or the argument is empty.
    """
    by_id, every = controller.snapshot, controller.snapshots
    return _found(named, rule, "snapshot", by_id, every, errors.SnapshotNotFound)


def group(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.Group:
    """The group for an argument.

    :raises GroupNotFound: no group matches, or the argument is not precise enough.
    :raises InvalidInput: several groups match, or the argument is empty.
    """
    by_id, every = controller.group, controller.groups
    return _found(named, rule, "group", by_id, every, errors.GroupNotFound)


def group_snapshot(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.GroupSnapshot:
    """The group snapshot for an argument.

    :raises GroupSnapshotNotFound: no group snapshot matches, or the argument is not precise enough.
    :raises InvalidInput: several group snapshots match, or the argument is empty.
    """
    by_id, every = controller.group_snapshot, controller.group_snapshots
    return _found(named, rule, "group snapshot", by_id, every, errors.GroupSnapshotNotFound)


def connection(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.Connection:
    """The connection for an argument, which must be an ID: connections have no names.

    :raises ConnectionNotFound: no connection matches, or the argument is not precise enough.
    :raises InvalidInput: several connections match, or the argument is empty.
    """
    by_id, every = controller.connection, controller.connections
    return _found(named, rule, "connection", by_id, every, errors.ConnectionNotFound)


def with_id(controller: cl.Controller, id: str) -> Iterator[cl.Volume | cl.Snapshot]:
    """The volume or snapshot with an ID, if it exists."""
    for by_id in (controller.volume, controller.snapshot):
        with contextlib.suppress(errors.NotFound):
            yield by_id(id)


def is_used(resource: cl.Volume | cl.Snapshot) -> bool:
    """Whether a host uses a volume or snapshot, or an operation works on it."""
    return (
        resource.status in ("in-use", "maintenance")
        or resource.status.endswith("ing")
        or bool(resource.connections)
    )


def beginning(ids: Iterable[str], named: str, rule: Rule) -> tuple[list[str], str]:
    """The IDs that begin with an argument, if the rule accepts the beginning of an ID.

    :returns: the IDs, and the end of an error message about an ID that the rule does not accept.
    """
    near = [id for id in ids if len(named) >= SHORTEST and id.lower().startswith(named.lower())]
    if not near or (rule.shortest is not None and len(named) >= rule.shortest):
        return near, ""
    exact = "the complete ID" if rule.shortest is None else f"at least {rule.shortest} characters"
    return [], f"; the ID {near[0]} begins with it, but this command requires {exact}"


def distinct(resources: Iterable[R]) -> list[R]:
    """Remove duplicates, if several arguments match the same resource."""
    return list({resource.id: resource for resource in resources}.values())


def label(resource: _WithName, *facts: str) -> str:
    """The name, the complete ID and further facts of a resource, for a confirmation."""
    if not resource.name:
        return f"{resource.id} ({', '.join(facts)})" if facts else resource.id
    return f"{resource.name} ({', '.join((resource.id, *facts))})"


def _found(
    named: str,
    rule: Rule,
    what: str,
    by_id: Callable[[str], R],
    every: Callable[..., Iterable[R]],
    not_found: type[errors.NotFound],
) -> R:
    if not named:
        raise errors.InvalidInput(f"The {what} is empty: specify its name or ID.")
    try:
        return by_id(named)
    except errors.NotFound:
        pass
    has_names = what != "connection"
    found, hint = list(every(name=named)) if has_names else [], ""
    if found and rule.destroys and is_uuid(named):
        # The ID of a deleted volume can be the name of a copy.
        hint = f"; it is the name of {what} {found[0].id}: specify that {what} by its ID"
        found = []
    elif not found:
        items = {item.id: item for item in every()}
        ids, hint = beginning(items, named, rule)
        found = [items[id] for id in ids]
    if not found:
        names = "name or ID" if has_names else "ID"
        raise not_found(f"No {what} has the {names} {shown(named)}{hint}", resource=named)
    if len(found) > 1:
        error = errors.InvalidInput(
            f"{len(found)} {what}s match {shown(named)}; specify one by its ID:"
        )
        add_candidates(error, found)
        raise error
    if getattr(found[0], "name", "") == named:
        exits.name_in_messages(found[0].id, named)
    return found[0]


def add_candidates(error: errors.CinderlibError, found: Sequence[Any]) -> None:
    """Add a line for each of several resources to an error: ID, name, size, status, age."""
    for item in found[:_CANDIDATES]:
        size = getattr(item, "size", getattr(item, "volume_size", None))
        facts = (
            getattr(item, "name", ""),
            sizes.of_gib(size),
            item.status,
            sizes.of_age(item.created_at),
        )
        error.add_note(f"  {item.id}  {', '.join(filter(None, facts))}")
    if len(found) > _CANDIDATES:
        error.add_note(f"  and {len(found) - _CANDIDATES} more")


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in any notation."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
