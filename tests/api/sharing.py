"""A process that shares a store with others; see ``test_shared_store.py``.

Its arguments are a connection URL, a state folder (or an empty string for the default), the folder
of the volumes, and the name of a function.
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
    """Report that this point was reached, and wait for the gate file."""
    gate = os.environ["GATE"]
    pathlib.Path(f"{gate}.{name}").touch()
    while not pathlib.Path(gate).exists():
        time.sleep(0.02)


def clone(volume: cl.Volume) -> str:
    """A clone that waits in the driver."""
    return volume.clone(name="copy").status


def between(volume: cl.Volume) -> str:
    """An attach that waits after the connect, while it holds no lock of volume or connection."""
    return volume.attach().path


attach = between


def begin(controller: cl.Controller) -> dict[str, Any]:
    """Run several operations at once. Each waits where others could consider it interrupted."""
    at_once = [VOLUMES[name] for name in os.environ["BEGIN"].split()]
    attach_connection, on_host = cl.Connection._attach, controller.local_host.attach

    def wait_between(connection: cl.Connection, options: Any) -> None:
        if connection.volume_id == VOLUMES["between"]:
            wait_at_gate("between")
        attach_connection(connection, options)

    def wait_when_done(connection: Any, volume: Any, options: Any) -> Any:
        device = on_host(connection, volume, options)
        if connection.volume_id == VOLUMES["attach"]:
            wait_at_gate("attach")
        return device

    cl.Connection._attach = wait_between  # type: ignore[method-assign]
    controller.local_host.attach = wait_when_done  # type: ignore[method-assign]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {
            name: pool.submit(globals()[name], controller.volume(id))
            for name, id in VOLUMES.items()
            if id in at_once
        }
        return {name: future.result() for name, future in running.items()}


def meddle(controller: cl.Controller) -> dict[str, Any]:
    """Try to recover and delete everything, which must not affect running operations."""
    results: dict[str, Any] = {
        "recovered": sorted({(each.outcome, each.reason) for each in controller.recover()})
    }
    for name, id in VOLUMES.items():
        try:
            controller.volume(id).delete()
        except cl.errors.CinderlibError as exc:
            results[name] = type(exc).__name__
    return results


def disconnect(controller: cl.Controller) -> dict[str, Any]:
    """Disconnect without detaching first."""
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
