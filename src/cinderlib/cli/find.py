"""Find what a person names: by id, by name, or by the unique beginning of an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, TypeVar

from cinderlib import errors

if TYPE_CHECKING:
    import cinderlib as cl


class _Named(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Named)

#: The shortest beginning of an id that is taken for one.
SHORTEST = 3


def volume(controller: cl.Controller, named: str) -> cl.Volume:
    """The volume that is meant.

    :raises VolumeNotFound: there is none.
    :raises InvalidInput: there are several.
    """
    return _found(
        named,
        controller.volume,
        lambda: controller.volumes(name=named),
        controller.volumes,
        errors.VolumeNotFound,
        "volume",
    )


def snapshot(controller: cl.Controller, named: str) -> cl.Snapshot:
    """The snapshot that is meant.

    :raises SnapshotNotFound: there is none.
    :raises InvalidInput: there are several.
    """
    return _found(
        named,
        controller.snapshot,
        lambda: controller.snapshots(name=named),
        controller.snapshots,
        errors.SnapshotNotFound,
        "snapshot",
    )


def connection(controller: cl.Controller, named: str) -> cl.Connection:
    """The connection that is meant.

    :raises ConnectionNotFound: there is none.
    :raises InvalidInput: there are several.
    """
    return _found(
        named,
        controller.connection,
        lambda: (),
        controller.connections,
        errors.ConnectionNotFound,
        "connection",
    )


def _found(
    named: str,
    by_id: Callable[[str], R],
    by_name: Callable[[], Iterable[R]],
    all_of_them: Callable[[], Iterable[R]],
    not_found: type[errors.NotFound],
    what: str,
) -> R:
    try:
        return by_id(named)
    except errors.NotFound:
        pass
    found = list(by_name()) if named else []
    if not found and len(named) >= SHORTEST:
        found = [item for item in all_of_them() if item.id.lower().startswith(named.lower())]
    if not found:
        names = "id" if what == "connection" else "id or name"
        raise not_found(f"There is no {what} with the {names} {named!r}", resource=named)
    if len(found) > 1:
        ids = ", ".join(item.id for item in found[:5]) + (", ..." if len(found) > 5 else "")
        raise errors.InvalidInput(
            f"{len(found)} {what}s are called {named!r}; name one by its id: {ids}"
        )
    return found[0]
