"""A program that uses secrets in every operation, and prints everything that can be printed.

Every logger is at DEBUG, and all output goes to stdout: log lines, reprs, plain data, exceptions
with their tracebacks and causes.

Arguments: a folder, the URL of the store, and optional encryption keys.
"""

from __future__ import annotations

import logging
import os
import pathlib
import sys
import traceback
from collections.abc import Callable
from typing import Any

sys.path.insert(0, os.path.dirname(__file__))

from marks import MARK, OPTION

import cinderlib as cl
from cinderlib import persistence
from cinderlib.records import KINDS


def show(*things: Any) -> None:
    for thing in things:
        print(repr(thing), str(thing))


def fails(work: Callable[[], Any]) -> None:
    try:
        work()
    except Exception as exc:
        traceback.print_exc(file=sys.stdout)
        show(exc, vars(exc))
    else:
        raise AssertionError("it has not failed")


def everything_at_debug() -> None:
    logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, force=True)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.DEBUG)


def encrypted(folder: pathlib.Path, config: dict[str, Any], controller: cl.Controller) -> None:
    """Rotation of keys, and stores with other and invalid keys."""
    kept = b"".join(file.read_bytes() for file in folder.glob("store.sqlite*"))
    assert b"first" in kept
    assert MARK.encode() not in kept
    show(controller.rotate_encryption())
    for other in ([persistence.generate_key()], None):
        with cl.Controller({**config, "encryption_keys": other}) as without:
            show(without.store, *without.volumes(), *without.connections())
            fails(lambda: next(without.connections()).connection_info)
            fails(lambda: without.persistence.get_key_values())
    fails(lambda: cl.Controller({**config, "encryption_keys": [config["encryption_keys"][0][1:]]}))


def main(folder: pathlib.Path, url: str, keys: list[str]) -> None:
    everything_at_debug()
    config: dict[str, Any] = {"storage": "db", "connection": url}
    if keys:
        config["encryption_keys"] = keys
    controller = cl.Controller(config, state_path=folder / "state", disable_logs=False)
    options = {
        "volume_driver": "secretive_driver.SecretiveDriver",
        "file_root": str(folder / "volumes"),
        "array_password": OPTION,
    }
    backend = controller.backend("array", **options)
    everything_at_debug()  # including modules that were imported meanwhile

    volume = backend.create_volume(1, "first")
    snapshot = volume.create_snapshot()
    copy = volume.clone()
    connection = volume.attach()
    with pathlib.Path(connection.path).open("rb") as device:
        device.read(512)
    volume.extend(2)
    show(controller, controller.store, backend, backend.config, backend.stats(), backend.driver)
    for resource in (volume, snapshot, copy, connection):
        show(resource, resource._record, resource.to_dict(), vars(resource))
    for kind in KINDS.values():
        show(controller.store.find(kind))
    if keys:
        encrypted(folder, config, controller)
    show(controller.local_host.node().attachments(), controller.local_host.node().leftovers())

    fails(lambda: volume.extend(13))
    fails(volume.delete)
    fails(lambda: controller.backend("array", **{**options, "array_password": "another"}))
    fails(lambda: controller.backend("other", **options, array_pasword=OPTION))
    fails(lambda: volume.connect({"host": "elsewhere"}))
    fails(lambda: controller.load(backend.dumps[:-1]))
    fails(lambda: cl.Node(state_path=folder / "file" / "below").attach(connection.connection_info))

    document = controller.load(volume.dumps)
    show(document, document.to_dict(), document.connections)
    volume.detach()
    cl.Node(state_path=folder / "node")  # with its own documents
    for left in (snapshot, copy, volume):
        left.delete()
    show(controller.recover())
    controller.store.close()
    fails(lambda: controller.volume(volume.id))


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1])
    (root / "file").touch()
    main(root, sys.argv[2], sys.argv[3:])
