"""Calls for both halves of a connection on one host: ``Volume.attach`` and ``Volume.detach``.

Such a call is two operations, each under the locks that it needs. Its own intent says that both are
to be done, so that a crash between them leaves nothing connected that nobody attached. It serves as
the host half's too, which saves that one's two commits: whoever finds it while holding the host
half's lock knows that there may be a device that is not recorded (``volume.attach``), or none where
one is recorded (``volume.detach``). Its id is the connection's, so every end of a connection drops
it.
"""

from __future__ import annotations

from collections.abc import Iterable

from cinderlib import errors
from cinderlib.locking.process_identity import this_process
from cinderlib.operations import volumes
from cinderlib.operations.journal import Journal
from cinderlib.records import ConnectionRecord, IntentRecord, replace

ATTACH, DETACH = "volume.attach", "volume.detach"
WHOLE = frozenset({ATTACH, DETACH})


def host_lock_name(connection_id: str) -> str:
    """The lock under which the device of a connection is made and removed."""
    return f"connection:{connection_id}"


def intent(
    journal: Journal, operation: str, connection: ConnectionRecord, *, force: bool = False
) -> IntentRecord:
    """The intent of the call for both halves that this thread is in.

    :param force: whether it removes the device although data is not written yet.
    """
    return IntentRecord(
        id=connection.id,
        operation=operation,
        backend=connection.backend,
        resource_id=connection.id,
        lock=volumes.lock_name(connection.volume_id),
        owner=this_process(),
        data={**journal.this_call(), **({"force": True} if force else {})},
    )


def get(journal: Journal, connection_id: str) -> IntentRecord | None:
    """The intent of a call for both halves that has not come to its end."""
    return journal.store.get(IntentRecord, connection_id)


def among(found: Iterable[IntentRecord]) -> IntentRecord | None:
    """The same, among the intents of a connection."""
    return next((each for each in found if each.operation in WHOLE), None)


def is_done(journal: Journal, connection_id: str) -> bool:
    """Whether no call for both halves of a connection was left half done."""
    return get(journal, connection_id) is None


def remove_device(journal: Journal, connection: ConnectionRecord, *, force: bool) -> None:
    """Remove what there is of a connection on this host, recorded or not; its lock is held."""
    try:
        journal.host.detach(connection, force=force)
    except errors.InvalidDocument:
        # No host can have made a device of what it cannot read: it was refused untouched.
        if connection.device is not None:
            raise


def settle(
    journal: Journal, whole: IntentRecord | None, connection: ConnectionRecord
) -> ConnectionRecord:
    """Bring this host to what a call for both halves that has not come to its end means to the host
    half, whose lock is held. The intent stays.

    :param whole: that call's intent.
    :returns: the connection, without the device where that is gone.
    :raises NodeError: something of it is still on this host.
    """
    if whole is None or not journal.is_on_this_host(whole):
        return connection
    if whole.operation == ATTACH and connection.device is None:
        remove_device(journal, connection, force=True)
    elif whole.operation == DETACH and connection.device is not None:
        try:
            remove_device(journal, connection, force=bool(whole.data.get("force")))
        except errors.DeviceInUse:
            return connection
        return replace(connection, device=None)
    return connection


def take_over(journal: Journal, connection: ConnectionRecord) -> ConnectionRecord | None:
    """Somebody wants the connection itself: what a call for both halves left half done of it on
    this host is settled, and the controller's half stays.

    :returns: the connection as it is then; ``None`` when that call has disconnected it meanwhile.
    :raises NodeError: something of it is still on this host.
    """
    locks = volumes.lock_name(connection.volume_id), host_lock_name(connection.id)
    with journal.locks.hold(*locks):
        there = journal.store.get(ConnectionRecord, connection.id)
        whole = get(journal, connection.id)
        if there is None or whole is None:
            return there
        settled = settle(journal, whole, there)
        return journal.finish_with(whole, "It was settled on this host", there, settled)
