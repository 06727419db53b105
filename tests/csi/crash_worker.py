"""Runs the life of a volume, and kills the plug-in at one step of one call.

usage: crash_worker.py FOLDER FILESYSTEM

Requests and answers are lines of JSON on stdin and stdout. A request is ``[call, step]``: the
number of the call, and number and name of the step, or null to list the steps. Each group of calls
runs in a child of this process, which has imported Cinder. Programs that a killed child has started
are killed too, as in a container.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))

import points as instrumentation

import cinderlib as cl
from cinderlib import drivers
from cinderlib.csi import settings
from cinderlib.csi.controller.context import Context
from cinderlib.csi.controller.groups import GroupControllerService
from cinderlib.csi.controller.service import ControllerService
from cinderlib.csi.node import mounts
from cinderlib.csi.node.service import NodeService
from cinderlib.csi.wire import messages as m
from cinderlib.csi.wire.services import BY_NAME
from cinderlib.records import IntentRecord
from cinderlib.testing.csi.node import may_resize_ext4

GIB = 1024**3
KEY = "A" * 43 + "="


class Life:
    """The plug-in of one child, and the calls of the life of a volume.

    :param folder: has the store, the volumes, the paths and the answers of earlier calls.
    """

    def __init__(self, folder: pathlib.Path, filesystem: str) -> None:
        self.folder = folder
        random.seed(0)  # the history is trimmed after a random number of operations
        chosen = settings.read({"keys": KEY, "protocols": ["local"], "name": "crash"}, "all")
        store = {"storage": "db", "connection": f"sqlite:///{folder}/store.sqlite"}
        self.controller = cl.Controller(
            store, state_path=folder / "state", lock_timeout=10, recover=False
        )
        backend = self.controller.backend(
            "files", volume_driver="file", file_root=str(folder / "volumes")
        )
        context = Context(chosen, self.controller, ("files",), lambda name: backend)
        node = NodeService(chosen, cl.Node(state_path=folder / "state" / "node"))
        self.backend = backend
        self.services = {
            "Controller": ControllerService(context),
            "GroupController": GroupControllerService(context),
            "Node": node,
        }
        self.node_id = node.node_id
        self.capability = m.VolumeCapability()
        self.capability.mount.fs_type = filesystem
        if filesystem == "ext4":
            # The kernel writes the tables of a new filesystem in the background. A copy of the file
            # starts again then, and that would be other steps.
            self.capability.mount.mount_flags.append("noinit_itable")
        self.capability.access_mode.mode = m.VolumeCapability.AccessMode.SINGLE_NODE_WRITER
        self._answers = folder / "answers.json"

    def _known(self) -> dict[str, Any]:
        return json.loads(self._answers.read_text()) if self._answers.exists() else {}

    def _remember(self, **answers: Any) -> None:
        self._answers.write_text(json.dumps(self._known() | answers))

    def call(self, name: str, /, **fields: Any) -> Any:
        method = BY_NAME[name]
        request = method.request(**{k: v for k, v in fields.items() if v is not None})
        return getattr(self.services[method.service], method.attribute)(request)

    def run(self, number: int) -> None:
        getattr(self, CALLS[number])()

    # --- the calls, in this order ----------------------------------------------------------------

    def _create(self, name: str) -> None:
        size = m.CapacityRange(required_bytes=GIB)
        volume = self.call(
            "CreateVolume", name=name, capacity_range=size, volume_capabilities=[self.capability]
        ).volume
        self._remember(**{name: volume.volume_id})

    def create(self) -> None:
        self._create("first")

    def create_second(self) -> None:
        self._create("second")

    def group_snapshot(self) -> None:
        known = self._known()
        answer = self.call(
            "CreateVolumeGroupSnapshot",
            name="g",
            source_volume_ids=[known["first"], known["second"]],
        ).group_snapshot
        assert len(answer.snapshots) == 2
        self._remember(group_snapshot=answer.group_snapshot_id)

    def _publish(self, name: str) -> None:
        answer = self.call(
            "ControllerPublishVolume",
            volume_id=self._known()[name],
            node_id=self.node_id,
            volume_capability=self.capability,
        )
        self._remember(context=dict(answer.publish_context))

    def _paths(self) -> tuple[str, str]:
        staging = self.folder / "staging"
        staging.mkdir(exist_ok=True)
        return str(staging), str(self.folder / "target")

    def _stage(self, name: str) -> None:
        self.call(
            "NodeStageVolume",
            volume_id=self._known()[name],
            publish_context=self._known()["context"],
            staging_target_path=self._paths()[0],
            volume_capability=self.capability,
        )

    def publish(self) -> None:
        self._publish("first")

    def stage(self) -> None:
        self._stage("first")

    def show(self) -> None:
        staging, target = self._paths()
        self.call(
            "NodePublishVolume",
            volume_id=self._known()["first"],
            publish_context=self._known()["context"],
            staging_target_path=staging,
            target_path=target,
            volume_capability=self.capability,
        )
        file = pathlib.Path(target, "file")
        if not file.exists():
            with file.open("w") as opened:
                opened.write("data")
                opened.flush()
                os.fsync(opened)

    def snapshot(self) -> None:
        answer = self.call("CreateSnapshot", name="s", source_volume_id=self._known()["first"])
        self._remember(snapshot=answer.snapshot.snapshot_id)

    def expand(self) -> None:
        size = m.CapacityRange(required_bytes=2 * GIB)
        self.call("ControllerExpandVolume", volume_id=self._known()["first"], capacity_range=size)

    def expand_node(self) -> None:
        if self.capability.mount.fs_type == "ext4" and not may_resize_ext4():
            return
        self.call(
            "NodeExpandVolume",
            volume_id=self._known()["first"],
            volume_path=self._paths()[1],
            capacity_range=m.CapacityRange(required_bytes=2 * GIB),
        )

    def modify(self) -> None:
        self.call(
            "ControllerModifyVolume",
            volume_id=self._known()["first"],
            mutable_parameters={"spec.test:tier": "gold"},
        )

    def hide(self) -> None:
        target = self._paths()[1]
        # The data of the volume exists until the call.
        if os.path.ismount(target):
            assert pathlib.Path(target, "file").read_text() == "data"
        self.call("NodeUnpublishVolume", volume_id=self._known()["first"], target_path=target)

    def unstage(self) -> None:
        path = self._paths()[0]
        self.call("NodeUnstageVolume", volume_id=self._known()["first"], staging_target_path=path)

    def unpublish(self) -> None:
        self.call(
            "ControllerUnpublishVolume", volume_id=self._known()["first"], node_id=self.node_id
        )

    def copy(self) -> None:
        source = m.VolumeContentSource()
        source.snapshot.snapshot_id = self._known()["snapshot"]
        specs = self.controller.volume(self._known()["first"]).extra_specs
        assert dict(specs) == {"test:tier": "gold"}
        volume = self.call(
            "CreateVolume",
            name="copy",
            capacity_range=m.CapacityRange(required_bytes=2 * GIB),
            volume_capabilities=[self.capability],
            volume_content_source=source,
        ).volume
        self._remember(copy=volume.volume_id)

    def use_copy(self) -> None:
        self._publish("copy")
        self._stage("copy")
        staging = self._paths()[0]
        assert pathlib.Path(staging, "file").read_text() == "data"
        size = os.statvfs(staging)
        assert size.f_blocks * size.f_frsize > 1.8 * GIB, (
            "the filesystem has the size of the source"
        )

    def leave_copy(self) -> None:
        id, path = self._known()["copy"], self._paths()[0]
        self.call("NodeUnstageVolume", volume_id=id, staging_target_path=path)
        self.call("ControllerUnpublishVolume", volume_id=id, node_id=self.node_id)

    def delete_copy(self) -> None:
        self.call("DeleteVolume", volume_id=self._known()["copy"])

    def delete_group_snapshot(self) -> None:
        id = self._known()["group_snapshot"]
        self.call("DeleteVolumeGroupSnapshot", group_snapshot_id=id)

    def delete_second(self) -> None:
        self.call("DeleteVolume", volume_id=self._known()["second"])

    def delete_snapshot(self) -> None:
        self.call("DeleteSnapshot", snapshot_id=self._known()["snapshot"])

    def delete(self) -> None:
        self.call("DeleteVolume", volume_id=self._known()["first"])

    def check(self) -> None:
        """Nothing remains on the storage, in the store and on the host."""
        left = [str(each) for each in (self.folder / "volumes").rglob("*-*-*")]
        left += [str(each) for each in self.controller.volumes()]
        left += [str(each) for each in self.controller.snapshots()]
        left += [str(each) for each in self.controller.groups()]
        left += [str(each) for each in self.controller.group_snapshots()]
        left += [str(each) for each in self.controller.connections()]
        left += [str(each) for each in self.controller.store.iterate(IntentRecord)]
        left += [str(each) for each in self.backend.reconcile()]
        left += [each.path for each in mounts.every() if each.path.startswith(str(self.folder))]
        assert not left, f"remains: {left}"
        assert not os.path.lexists(self._paths()[1]), "the target remains"


CALLS = (
    "create", "publish", "stage", "show", "snapshot", "expand", "expand_node", "modify", "hide",
    "unstage", "unpublish", "copy", "use_copy", "leave_copy", "delete_copy", "delete_snapshot",
    "create_second", "group_snapshot", "delete_group_snapshot", "delete_second", "delete",
)  # fmt: skip


def in_child(work: Callable[[], Any]) -> Any:
    """The result of a function that runs in a child; ``'killed'`` if the child was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            result = work()
            with open(writer, "w") as answer:
                json.dump(result, answer)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writer)
    with open(reader) as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    _end_orphans()
    if os.WIFSIGNALED(status):
        return "killed"
    return json.loads(text) if os.waitstatus_to_exitcode(status) == 0 else "failed"


def _end_orphans() -> None:
    """Kill and await the programs that a killed child left."""
    own = os.getpid()
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == own:
                os.kill(int(entry.name), signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def case(base: pathlib.Path, filesystem: str, number: int, at: Any) -> Any:
    """One case; the answer is a list of steps, ``'ok'`` or the reason of a failure."""
    folder = base / "case"
    (folder / "volumes").mkdir(parents=True)

    def run(first: int, last: int) -> str:
        life = Life(folder, filesystem)
        for each in range(first, last):
            life.run(each)
        return "ok"

    def die() -> list[str]:
        life = Life(folder, filesystem)
        points = instrumentation.Points(folder)
        points.watch_host()
        points.watch_store(life.controller.store)
        points.around(mounts, "run", "program", lambda *argv, **_: argv[0])
        life.backend._driver = points.watch_driver(life.backend._driver)
        points.arm(None if at is None else tuple(at), instrumentation.kill)
        life.run(number)
        points.disarm()
        return points.seen

    def finish() -> str:
        life = Life(folder, filesystem)
        # The orchestrator repeats the call that has no answer.
        for each in range(number, len(CALLS)):
            life.run(each)
        life.check()
        return "ok"

    try:
        if number and in_child(lambda: run(0, number)) != "ok":
            return "the calls before failed"
        died = in_child(die)
        if at is None:
            return died
        if died != "killed":
            return f"not killed: {died}"
        return in_child(finish)
    finally:
        clean(folder)


def clean(folder: pathlib.Path) -> None:
    """Remove everything of a case that failed."""
    for mount in reversed(mounts.every()):
        if mount.path.startswith(str(folder)):
            subprocess.run(["umount", "-l", mount.path], check=False)
    listed = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
        capture_output=True,
        text=True,
        check=True,
    )
    for line in listed.stdout.splitlines():
        device, _, file = line.partition(" ")
        if file.strip().startswith(str(folder)):
            subprocess.run(["losetup", "--detach", device], check=False)
    shutil.rmtree(folder)


def main() -> None:
    base, filesystem = pathlib.Path(sys.argv[1]), sys.argv[2]
    libc = ctypes.CDLL(None, use_errno=True)
    set_child_subreaper = 36  # from <linux/prctl.h>
    libc.prctl(set_child_subreaper, 1, 0, 0, 0)
    # Other tests start processes that keep a copy of the mounts, and with it the devices in use.
    new_mounts = 0x20000  # from <linux/sched.h>
    if libc.unshare(new_mounts):
        raise OSError(ctypes.get_errno(), "cannot have mounts of its own")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    state = base / "warm"
    for folder in ("drivers", "locks"):
        (state / folder).mkdir(parents=True)
    drivers.prepare(
        drivers.Settings(
            host="warm", state_path=str(state / "drivers"), lock_path=str(state / "locks")
        )
    )
    from cinder import coordination

    import cinderlib.drivers.file
    import cinderlib.drivers.loading
    import cinderlib.node.local
    import cinderlib.persistence.sql  # noqa: F401

    # Children do not inherit this thread, and start it again.
    coordination.COORDINATOR.stop()
    for line in sys.stdin:
        number, at = json.loads(line)
        print(json.dumps(case(base, filesystem, number, at)), flush=True)


if __name__ == "__main__":
    main()
