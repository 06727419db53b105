"""The calls of oVirt's own client for cinderlib, for each verb of the engine.

Like that client, it first lets eventlet patch the process, uses ``logging.config`` without
importing it, and disconnects without a host. Arguments are the driver's options, the store and a
folder. Each line of standard input is a JSON list with a verb and its arguments, and each line of
output is an answer.
"""

# ruff: noqa: E402
# isort: off
import eventlet

eventlet.monkey_patch()

import json
import logging
import select
import sys
from typing import Any

import urllib3
from urllib3.exceptions import InsecureRequestWarning

import cinderlib as cl

urllib3.disable_warnings(InsecureRequestWarning)
assert not hasattr(select, "poll")

_driver, _persistence, _folder = sys.argv[1:]
cl.setup(
    file_locks_path=f"{_folder}/locks",
    persistence_config=json.loads(_persistence),
    ssh_hosts_key_file=f"{_folder}/ssh_known_hosts",
    disable_logs=False,
)
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
backend = cl.Backend(**json.loads(_driver))


def volume(id: str) -> cl.Volume:
    (found,) = backend.volumes_filtered(volume_id=id)
    return found


def create_volume(id: str, size: str) -> None:
    backend.create_volume(int(size), id=id)


def delete_volume(id: str) -> None:
    volume(id).delete()


def connect_volume(id: str, connector: str) -> Any:
    properties = json.loads(connector)
    for connection in volume(id).connections:
        if connection.connector_info["host"] == properties["host"]:
            return connection.conn_info
    return volume(id).connect(properties).connection_info["conn"]


def disconnect_volume(id: str) -> None:
    for connection in volume(id).connections:
        connection.disconnect()


def extend_volume(id: str, size: str) -> None:
    volume(id).extend(int(size))


def storage_stats(refresh: str) -> Any:
    return backend.stats(refresh=refresh)  # type: ignore[arg-type]


def save_device(id: str, device: str) -> None:
    volume(id).connections[0].device_attached(json.loads(device))


def get_connection_info(id: str) -> Any:
    return volume(id).connections[0].connection_info


def clone_volume(id: str, clone_id: str) -> None:
    volume(id).clone(id=clone_id)


def create_snapshot(id: str) -> Any:
    snapshot = volume(id).create_snapshot()
    if snapshot.status == "error":
        snapshot.delete()
        raise SystemExit("the snapshot failed")
    return snapshot.id


def remove_snapshot(snapshot_id: str, id: str) -> None:
    for snapshot in volume(id).snapshots:
        if snapshot.id == snapshot_id:
            snapshot.delete()


def create_volume_from_snapshot(id: str, snapshot_id: str) -> Any:
    for snapshot in volume(id).snapshots:
        if snapshot.id == snapshot_id:
            return snapshot.create_volume().id
    raise SystemExit("no such snapshot")


for _line in sys.stdin:
    _verb, *_arguments = json.loads(_line)
    print(json.dumps(globals()[_verb](*_arguments)), flush=True)
