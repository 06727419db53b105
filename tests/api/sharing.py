"""A process that shares a store with others; see ``test_shared_store.py``.

It is given a connection, a state folder (or nothing, for the default), the folder of the volumes,
and what to do.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import sys
import time
from typing import Any

import cinderlib as cl

VOLUMES = {
    "clone": "11111111-1111-4111-8111-111111111111",
    "between": "22222222-2222-4222-8222-222222222222",
    "attach": "33333333-3333-4333-8333-333333333333",
}


def wait_at_gate(name: str) -> None:
    """Say that it has come so far, and wait until it may go on."""
    gate = os.environ["GATE"]
    pathlib.Path(f"{gate}.{name}").touch()
    while not pathlib.Path(gate).exists():
        time.sleep(0.02)


def clone(volume: cl.Volume) -> str:
    """The driver waits."""
    return volume.clone(name="copy").status


def between(volume: cl.Volume) -> str:
    """An attach that waits between its halves, when no lock of volume or connection is held."""
    return volume.attach().path


attach = between


def begin(controller: cl.Controller) -> dict[str, Any]:
    """All at once, each waiting where it can be taken for interrupted."""
    at_once = [VOLUMES[name] for name in os.environ["BEGIN"].split()]
    attach_half, on_host = cl.Connection.attach, controller.local_host.attach

    def wait_between(connection: cl.Connection) -> Any:
        if connection.volume_id == VOLUMES["between"]:
            wait_at_gate("between")
        return attach_half(connection)

    def wait_when_done(connection: Any, volume: Any) -> Any:
        device = on_host(connection, volume)
        if connection.volume_id == VOLUMES["attach"]:
            wait_at_gate("attach")
        return device

    cl.Connection.attach = wait_between  # type: ignore[method-assign]
    controller.local_host.attach = wait_when_done  # type: ignore[method-assign]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {
            name: pool.submit(globals()[name], controller.volume(id))
            for name, id in VOLUMES.items()
            if id in at_once
        }
        return {name: future.result() for name, future in running.items()}


def meddle(controller: cl.Controller) -> dict[str, Any]:
    """All that could take another's work for interrupted."""
    told: dict[str, Any] = {
        "recovered": sorted({(each.outcome, each.reason) for each in controller.recover()})
    }
    for name, id in VOLUMES.items():
        try:
            controller.volume(id).delete()
        except cl.errors.CinderlibError as exc:
            told[name] = type(exc).__name__
    return told


def disconnect(controller: cl.Controller) -> dict[str, Any]:
    """Without detaching first."""
    (connection,) = controller.connections()
    try:
        connection.disconnect()
    except cl.errors.InvalidConnection as exc:
        return {"refused": type(exc).__name__, "state": connection.device_state}
    return {}


def main(connection: str, state_path: str, root: str, what: str) -> None:
    with cl.Controller(
        {"storage": "db", "connection": connection},
        state_path=state_path or None,
        lock_timeout=0.3 if what == "meddle" else 60,
    ) as controller:
        controller.backend("b", volume_driver="api.gated_driver.GatedDriver", file_root=root)
        print(json.dumps(globals()[what](controller)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
