"""Every line that ends in ``# wrong`` has a mistake that type checkers must find."""

from __future__ import annotations

from typing import Any

import cinderlib as cl
from cinderlib import Recoverd  # noqa: F401 # wrong
from cinderlib.errors import VolumeNotFond  # noqa: F401 # wrong


def misspelt_names(files: cl.Backend, volume: cl.Volume, node: cl.Node) -> None:
    cl.Contoller()  # wrong
    files.creat_volume(1)  # wrong
    cl.Backend.lod("{}")  # wrong
    volume.snapshot[0].delete()  # wrong
    volume.create_snapshot("monday").creat_volume()  # wrong
    print(volume.attach().pth)  # wrong
    volume.atach()  # wrong
    volume.backend.stat()  # wrong
    volume.attach().path.opened()  # wrong
    node.detatch("an-id")  # wrong
    print(node.diagnose().finding)  # wrong
    print(files.reconcile()[0].remdy)  # wrong
    print(files.controller.recover()[0].outcom)  # wrong
    print(cl.errors.CinderlibErorr)  # wrong


def misspelt_keywords(files: cl.Backend, volume: cl.Volume, connector: dict[str, Any]) -> None:
    cl.Controller(state_pth="/tmp")  # wrong
    cl.setup(root_helpr="sudo")  # wrong
    cl.Node(multipth=True)  # wrong
    files.create_volume(1, nmae="data")  # wrong
    files.create_volume(1, metdata={})  # wrong
    volume.clone(nmae="copy")  # wrong
    volume.create_snapshot(nmae="monday")  # wrong
    cl.Volume(files, sise=1)  # wrong
    cl.Snapshot(volume, discription="")  # wrong
    volume.snapshots[0].create_volume(pool="pool")  # wrong
    volume.connect(connector, attached_hst="node-1")  # wrong
    volume.detach(forced=True)  # wrong
    files.controller.volumes(bakend="files")  # wrong
    files.reconcile(repare=True)  # wrong


def wrong_types(files: cl.Backend, volume: cl.Volume, connector: dict[str, Any]) -> None:
    files.create_volume("10GiB")  # wrong
    files.create_volume(1, metadata={"copies": 2})  # wrong
    volume.connect(connector, attach_mode="readonly")  # wrong
    volume.name = None  # wrong
    volume.status = "available"  # wrong
    volume.stauts = "available"  # wrong
    volume.revert_to_snapshot("monday")  # wrong
    volume.migrate(1)  # wrong
    volume.retype("gold", True)  # wrong
    volume.extend()  # wrong
    volume.created_at.isoformat()  # wrong
    print(volume.attach() + "")  # wrong
    cl.Controller(persistence_config=5)  # wrong
    print(cl.load("{}").name)  # wrong
