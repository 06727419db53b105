"""Find the resource that an argument names: by its ID, by its name, or by the beginning of its ID.

A verb that only reads, or that can be undone, accepts the unique beginning of an ID. A verb that
destroys does not: its argument has to mean the same resource however often the command runs, also
after that resource is gone. It accepts a beginning only if it shows the name and the whole ID that
it found, and asks the person to confirm them.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

from cinderlib import errors
from cinderlib.validation import shown

if TYPE_CHECKING:
    import cinderlib as cl


class _Named(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Named)


@dataclasses.dataclass(frozen=True)
class Rule:
    """How exact an argument has to be.

    :ivar shortest: characters of an ID that are accepted instead of the whole ID; ``None`` accepts
        the whole ID only.
    :ivar destroys: whether the verb destroys something.
    """

    shortest: int | None
    destroys: bool


#: What is shorter is not taken for the beginning of an ID, in characters.
SHORTEST = 3

#: For verbs that read, or that can be undone.
ANY = Rule(shortest=SHORTEST, destroys=False)
#: For verbs that destroy without a question.
EXACT = Rule(shortest=None, destroys=True)
#: For verbs that destroy, and show what they found and ask before they go on.
CONFIRMED = Rule(shortest=8, destroys=True)


def rule_to_destroy(*, yes: bool) -> Rule:
    """How exact the argument of a verb that destroys has to be.

    :param yes: whether ``--yes`` was given, so that nobody sees what was found.
    """
    return EXACT if yes else CONFIRMED


def volume(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.Volume:
    """The volume that an argument names.

    :raises VolumeNotFound: no volume matches, or not exactly enough.
    :raises InvalidInput: several volumes match, or the argument is empty.
    """
    return _found(
        named,
        rule,
        controller.volume,
        lambda: controller.volumes(name=named),
        controller.volumes,
        errors.VolumeNotFound,
        "volume",
    )


def snapshot(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.Snapshot:
    """The snapshot that an argument names.

    :raises SnapshotNotFound: no snapshot matches, or not exactly enough.
    :raises InvalidInput: several snapshots match, or the argument is empty.
    """
    return _found(
        named,
        rule,
        controller.snapshot,
        lambda: controller.snapshots(name=named),
        controller.snapshots,
        errors.SnapshotNotFound,
        "snapshot",
    )


def connection(controller: cl.Controller, named: str, rule: Rule = ANY) -> cl.Connection:
    """The connection that an argument names; connections have no names.

    :raises ConnectionNotFound: no connection matches, or not exactly enough.
    :raises InvalidInput: several connections match, or the argument is empty.
    """
    return _found(
        named,
        rule,
        controller.connection,
        lambda: (),
        controller.connections,
        errors.ConnectionNotFound,
        "connection",
    )


def beginning(ids: Iterable[str], named: str, rule: Rule) -> tuple[list[str], str]:
    """The IDs that begin with an argument, as far as the rule accepts a beginning.

    :returns: the IDs, and for those that the rule does not accept what a message says of them.
    """
    near = [id for id in ids if len(named) >= SHORTEST and id.lower().startswith(named.lower())]
    if not near or (rule.shortest is not None and len(named) >= rule.shortest):
        return near, ""
    exact = "the whole ID" if rule.shortest is None else f"{rule.shortest} characters or more"
    return [], f"; the ID {near[0]} begins with it, but here {exact} must be given"


def distinct(resources: Iterable[R]) -> list[R]:
    """Each resource once, also if several arguments name it."""
    return list({resource.id: resource for resource in resources}.values())


def label(resource: cl.Volume | cl.Snapshot, *facts: str) -> str:
    """A resource in a question before it is destroyed: its name, its whole ID, and facts."""
    if not resource.name:
        return f"{resource.id} ({', '.join(facts)})" if facts else resource.id
    return f"{resource.name} ({', '.join((resource.id, *facts))})"


def _found(
    named: str,
    rule: Rule,
    by_id: Callable[[str], R],
    by_name: Callable[[], Iterable[R]],
    everything: Callable[[], Iterable[R]],
    not_found: type[errors.NotFound],
    what: str,
) -> R:
    if not named:
        raise errors.InvalidInput(f"The {what} is empty: specify its name or ID.")
    try:
        return by_id(named)
    except errors.NotFound:
        pass
    found, hint = list(by_name()), ""
    if found and rule.destroys and _is_uuid(named):
        # A copy may have the ID of its origin as its name, and the origin may just be gone.
        hint = f"; {what} {found[0].id} has it as its name: specify that one by its ID"
        found = []
    elif not found:
        items = {item.id: item for item in everything()}
        ids, hint = beginning(items, named, rule)
        found = [items[id] for id in ids]
    if not found:
        names = "ID" if what == "connection" else "name or ID"
        raise not_found(f"There is no {what} with the {names} {shown(named)}{hint}", resource=named)
    if len(found) > 1:
        some = ", ".join(item.id for item in found[:5]) + (", ..." if len(found) > 5 else "")
        raise errors.InvalidInput(
            f"{len(found)} {what}s match {shown(named)}; specify one by its ID: {some}"
        )
    return found[0]


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
