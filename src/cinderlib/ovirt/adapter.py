"""``cinderlib-adapter``: the program that oVirt's engine runs for each verb.

Its arguments are ``VERB DRIVER_JSON DB_URL CORRELATION_ID ...``. The engine reads the first line
that begins with the correlation ID, or with ``error``, as the answer. Standard error uses the same
pipe, so this program writes only the answer to both.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cinderlib.locking import state_folder
from cinderlib.ovirt.streams import answers_only, leave, log_to_stderr

if TYPE_CHECKING:
    import cinderlib as cl

LOG = logging.getLogger(__name__)

#: The name of this adapter for the engine and its hosts.
NAME = "cinderlib"
#: Environment variable for another state folder than the default.
STATE_PATH = "CINDERLIB_STATE_PATH"
#: Seconds to wait for another command on the same volume; the engine itself waits for two minutes.
LOCK_TIMEOUT = 45.0

Verb = Callable[["cl.Backend", Sequence[str]], str | None]


def main() -> None:
    """The entry point of the installed program."""
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a verb and write its answer.

    :returns: the exit code: 0, or 1 if it failed.
    """
    with answers_only(_log()) as answers:
        try:
            verb, driver, url, correlation_id, *extra = arguments
        except ValueError:
            answers.write("error usage: VERB DRIVER_JSON DB_URL CORRELATION_ID [ARGUMENT]...\n")
            return 1
        log_to_stderr(f"[{correlation_id}]")
        try:
            answer = _answer(verb, driver, url, extra)
        except Exception as exc:
            LOG.exception("%s failed", verb)
            answers.write(f"error {_line(exc)}\n")
            return 1
        if answer is not None:
            answers.write(f"{correlation_id} {answer}\n")
        return 0


def _log() -> Path:
    folder = os.environ.get(STATE_PATH) or state_folder.user_folder("state")
    if folder is None:
        folder = state_folder.default()
    return Path(folder) / "ovirt-adapter.log"


def _line(exc: Exception) -> str:
    from cinderlib.errors import CinderlibError

    text = " ".join(str(exc).split()) or type(exc).__name__
    return text if isinstance(exc, CinderlibError) else f"{type(exc).__name__}: {text}"


def _answer(verb: str, driver: str, url: str, extra: Sequence[str]) -> str | None:
    import cinderlib as cl

    if verb not in _VERBS:
        raise cl.errors.InvalidInput(f"Unknown verb {verb!r}; choose one of {', '.join(_VERBS)}")
    do, needed = _VERBS[verb]
    if len(extra) < len(needed):
        raise cl.errors.InvalidInput(f"{verb} needs {' and '.join(needed)}")
    options = _options(driver)
    controller = cl.Controller(
        {"storage": "db", "connection": url},
        state_path=os.environ.get(STATE_PATH),
        lock_timeout=LOCK_TIMEOUT,
    )
    with controller:
        LOG.info("%s %s", verb, extra[0] if extra else "")
        return do(controller.backend(**options), extra)


def _options(driver: str) -> dict[str, Any]:
    from cinderlib.errors import ConfigurationError
    from cinderlib.value_checks import json_object

    options = json_object(driver)
    if options is None:
        # The message does not repeat it, because it contains passwords.
        raise ConfigurationError("The driver options are not a JSON object")
    if "volume_backend_name" not in options:
        raise ConfigurationError(
            "The driver options have no volume_backend_name; add it to the storage domain"
        )
    options.pop("adapter", None)
    return options


# --- verbs -------------------------------------------------------------------------------------


def _create_volume(backend: cl.Backend, extra: Sequence[str]) -> None:
    backend.create_volume(float(extra[1]), id=extra[0])


def _delete_volume(backend: cl.Backend, extra: Sequence[str]) -> None:
    from cinderlib.errors import VolumeNotFound

    try:
        volume = _volume(backend, extra[0])
    except VolumeNotFound:
        return
    # No virtual machine has the disk any more: remove the connections that disconnect_volume kept.
    for connection in volume.connections:
        _disconnect(connection)
    volume.delete()


def _connect_volume(backend: cl.Backend, extra: Sequence[str]) -> str:
    connector = _object(extra[1], "connector")
    # The engine connects a second host only for a live migration, without declaring it.
    connection = _volume(backend, extra[0]).connect(
        connector, attached_host=connector.get("host"), migrating=True
    )
    # The engine passes this to the host, which finds its helper by the adapter's name.
    return json.dumps({**connection.conn_info, "adapter": NAME})


def _disconnect_volume(backend: cl.Backend, extra: Sequence[str]) -> None:
    """Disconnect a volume. The engine does not specify the host. During a migration there are two,
    and one of them still uses the volume. Therefore, if there are several connections, only those
    that were never attached are removed.

    A further argument can specify the host.
    """
    from cinderlib.errors import VolumeNotFound

    try:
        connections = _volume(backend, extra[0]).connections
    except VolumeNotFound:
        return
    if len(extra) > 1:
        chosen = [c for c in connections if extra[1] in (c.attached_host, _host(c))]
    elif len(connections) == 1:
        chosen = connections
    else:
        chosen = [c for c in connections if not c.attached]
        for kept in (c for c in connections if c.attached):
            LOG.warning(
                "Volume %s stays connected to %s: it is recorded as attached there, and the engine"
                " does not specify the host to disconnect",
                extra[0],
                _host(kept),
            )
    for connection in chosen:
        _disconnect(connection)


def _extend_volume(backend: cl.Backend, extra: Sequence[str]) -> None:
    volume = _volume(backend, extra[0])
    if volume.size < float(extra[1]):
        volume.extend(float(extra[1]))


def _storage_stats(backend: cl.Backend, extra: Sequence[str]) -> str:
    return json.dumps(backend.stats(refresh=extra[0].lower() == "true"))


def _save_device(backend: cl.Backend, extra: Sequence[str]) -> None:
    _latest(backend, extra[0], attached=False).device_attached(_object(extra[1], "device"))


def _get_connection_info(backend: cl.Backend, extra: Sequence[str]) -> str:
    info = _latest(backend, extra[0], attached=True).connection_info
    info["conn"] = {**(info["conn"] or {}), "adapter": NAME}
    return json.dumps(info)


def _clone_volume(backend: cl.Backend, extra: Sequence[str]) -> None:
    _volume(backend, extra[0]).clone(id=extra[1])


def _create_snapshot(backend: cl.Backend, extra: Sequence[str]) -> str:
    from cinderlib.errors import CinderlibError

    volume = _volume(backend, extra[0])
    snapshot = backend.Snapshot(volume)
    try:
        snapshot.create()
    except CinderlibError:
        # The engine does not know its ID, so it cannot delete it.
        snapshot.delete()
        raise
    return snapshot.id


def _remove_snapshot(backend: cl.Backend, extra: Sequence[str]) -> None:
    from cinderlib.errors import SnapshotNotFound

    try:
        backend.Snapshot.get_by_id(extra[0]).delete()
    except SnapshotNotFound:
        return


def _create_volume_from_snapshot(backend: cl.Backend, extra: Sequence[str]) -> str:
    return backend.Snapshot.get_by_id(extra[1]).create_volume().id


_VERBS: dict[str, tuple[Verb, tuple[str, ...]]] = {
    "create_volume": (_create_volume, ("a volume ID", "a size")),
    "delete_volume": (_delete_volume, ("a volume ID",)),
    "connect_volume": (_connect_volume, ("a volume ID", "a connector")),
    "disconnect_volume": (_disconnect_volume, ("a volume ID",)),
    "extend_volume": (_extend_volume, ("a volume ID", "a size")),
    "storage_stats": (_storage_stats, ("true or false",)),
    "save_device": (_save_device, ("a volume ID", "a device")),
    "get_connection_info": (_get_connection_info, ("a volume ID",)),
    "clone_volume": (_clone_volume, ("a volume ID", "the ID of the clone")),
    "create_snapshot": (_create_snapshot, ("a volume ID",)),
    "remove_snapshot": (_remove_snapshot, ("a snapshot ID", "a volume ID")),
    "create_volume_from_snapshot": (
        _create_volume_from_snapshot,
        ("a volume ID", "a snapshot ID"),
    ),
}


def _volume(backend: cl.Backend, id: str) -> cl.Volume:
    return backend.Volume.get_by_id(id)


def _disconnect(connection: cl.Connection) -> None:
    # The host has already detached it at the request of the engine, without recording it.
    connection.device = None
    connection.save()
    connection.disconnect()


def _host(connection: cl.Connection) -> str:
    return str(connection.connector_info.get("host", ""))


def _latest(backend: cl.Backend, volume_id: str, *, attached: bool) -> cl.Connection:
    """The newest connection that is, or is not, attached; without such a connection, the newest."""
    from cinderlib.errors import ConnectionNotFound

    connections = _volume(backend, volume_id).connections
    fitting = [c for c in connections if c.attached is attached]
    if not connections:
        raise ConnectionNotFound(
            f"Volume {volume_id} is not connected to a host", resource=volume_id
        )
    return (fitting or connections)[-1]


def _object(text: str, what: str) -> dict[str, Any]:
    from cinderlib.errors import InvalidInput
    from cinderlib.value_checks import json_object

    value = json_object(text)
    if value is None:
        raise InvalidInput(f"The {what} is not a JSON object")
    return value
