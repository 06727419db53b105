"""Remainders of interrupted attaches and detaches on this host."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import msgspec

from cinderlib.errors import Busy, CinderlibError
from cinderlib.node import lifecycle
from cinderlib.node.base import HostSettings
from cinderlib.node.state import Entry

LOG = logging.getLogger(__name__)


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """A remainder of an interrupted attach or detach on this host.

    :ivar key: identifies the attachment on this host.
    :ivar connection_id: of the controller's connection, if it is known.
    :ivar operation: the interrupted operation, ``'attaching'`` or ``'detaching'``.
    :ivar device: its path, if it exists.
    :ivar users: the users of the device, as texts; it is not removed while there are any.
    """

    key: str
    connection_id: str | None
    operation: str
    device: str | None
    users: tuple[str, ...] = ()


def leftovers(settings: HostSettings) -> Iterator[Leftover]:
    """See :meth:`cinderlib.node.Node.leftovers`."""
    for seen in settings.state.entries():
        with _interrupted(seen.key, settings) as entry:
            if entry is None:
                continue
            connector = lifecycle.as_attached(entry, settings)
            device = connector.find_interrupted(entry)
            yield Leftover(
                key=entry.key,
                connection_id=entry.document.get("id"),
                operation=entry.status,
                device=device["path"] if device else None,
                users=tuple(connector.users(device)) if device else (),
            )


def clean(leftover: Leftover, settings: HostSettings) -> bool:
    """Remove a leftover if it is unused.

    :returns: whether it existed and is removed.
    """
    with _interrupted(leftover.key, settings) as entry:
        if entry is None:
            return False
        connector = lifecycle.as_attached(entry, settings)
        try:
            lifecycle.detach_device(connector, connector.find_interrupted(entry), entry)
        except CinderlibError as exc:
            LOG.warning("A leftover could not be removed: %s", exc)
            return False
        return True


@contextlib.contextmanager
def _interrupted(key: str, settings: HostSettings) -> Iterator[Entry | None]:
    """The entry, locked, if it is unfinished and no process works on it."""
    try:
        lock = settings.state.locked(key, wait=False)
        with lock:
            entry = settings.state.get(key)
            yield entry if entry and entry.status != "attached" else None
    except Busy:
        yield None
