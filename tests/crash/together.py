"""The work of concurrent processes and threads, and the expected state afterwards."""

from __future__ import annotations

import contextlib
import random
import threading
import traceback
from collections.abc import Callable
from typing import Any

from world import World

from cinderlib import Volume, errors
from cinderlib.records import ConnectionRecord, SnapshotRecord, VolumeRecord

#: The volume that all use, and the number of steps of each thread.
ONE = "11111111-0000-4000-8000-000000000000"
STEPS = 8
#: Seconds that a thread waits for a lock. Locks are not fair: the last thread may wait for the work
#: of all others, which is slow on a busy machine.
PATIENCE = 240

#: The remaining resources of a thread by kind: names, IDs or hosts.
Left = dict[str, list[Any]]


class OnOneVolume:
    """A thread that works on the shared volume. Others do not remove the resources that it creates,
    so it knows the resources that must exist at the end."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._random = random.Random(name)
        self._volume: Volume = world.volume(ONE)
        self.left: Left = {"snapshots": [], "hosts": [], "keys": []}

    def step(self, number: int) -> None:
        choices: list[Callable[[str], None]] = [
            self._snapshot,
            self._unsnapshot,
            self._connect,
            self._disconnect,
            self._save,
            self._extend,
            self._clone,
            self._attach,
            self._create_again,
        ]
        self._random.choice(choices)(f"{self._name}-{number}")

    def _snapshot(self, name: str) -> None:
        self.left["snapshots"].append(self._volume.create_snapshot(name).id)

    def _unsnapshot(self, name: str) -> None:
        if self.left["snapshots"]:
            self._world.controller.snapshot(self.left["snapshots"][-1]).delete()
            self.left["snapshots"].pop()

    def _connect(self, name: str) -> None:
        self._volume.connect(self._world.connector(self._name), attached_host=self._name)
        self.left["hosts"] = [self._name]

    def _disconnect(self, name: str) -> None:
        for connection in self._volume.connections:
            if connection.attached_host == self._name:
                connection.disconnect()
                self.left["hosts"] = []

    def _save(self, name: str) -> None:
        self._volume.metadata[name] = "1"
        self._volume.save()
        self.left["keys"].append(name)

    def _extend(self, name: str) -> None:
        self._volume.refresh()
        self._volume.extend(self._volume.size + self._random.choice([0, 1]))

    def _clone(self, name: str) -> None:
        self._volume.clone(name=name, size=1000).delete()

    def _attach(self, name: str) -> None:
        # The threads of a host share its attachments.
        self._volume.attach()
        with contextlib.suppress(errors.NotLocal):
            self._volume.detach()

    def _create_again(self, name: str) -> None:
        assert not self._world.backend.create_volume(1, id=ONE, multiattach=True).changed


class OnManyVolumes:
    """A thread with its own volumes."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._random = random.Random(name)
        self.left: Left = {"names": []}

    def step(self, number: int) -> None:
        name = f"{self._name}-{number}"
        volume = self._world.backend.create_volume(1, name)
        self.left["names"].append(name)
        volume.attach()
        snapshot = volume.create_snapshot()
        volume.extend(2)
        copy = snapshot.create_volume(size=3)
        volume.detach()
        snapshot.delete()
        copy.delete()
        if self._random.random() < 0.7:
            volume.delete()
            self.left["names"].pop()


WORK: dict[str, type[OnOneVolume] | type[OnManyVolumes]] = {
    "one": OnOneVolume,
    "many": OnManyVolumes,
}


def work(world: World, what: str, process: int, threads: int) -> dict[str, Any]:
    """Run threads.

    :returns: the remaining resources, and unexpected exceptions.
    """
    bad: list[str] = []
    refused: list[str] = []
    workers = [WORK[what](world, f"p{process}t{number}") for number in range(threads)]

    def run(worker: OnOneVolume | OnManyVolumes) -> None:
        for number in range(STEPS if what == "one" else 3):
            try:
                worker.step(number)
            except (
                errors.AlreadyExists,
                errors.InvalidState,
                errors.InvalidInput,
                errors.NotFound,
            ) as exc:
                refused.append(str(exc))
                if what == "many":
                    bad.append(traceback.format_exc())
            except BaseException:
                bad.append(traceback.format_exc())

    running = [threading.Thread(target=run, args=(worker,)) for worker in workers]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    left: Left = {}
    for worker in workers:
        for kind, values in worker.left.items():
            left.setdefault(kind, []).extend(values)
    return {"bad": bad, "refused": refused, "left": left}


def judge(world: World, what: str, left: Left) -> list[str]:
    """Compare the state with the threads' results. Returns the differences."""
    store = world.controller.store
    found: Left
    if what == "one":
        volume = store.get(VolumeRecord, ONE)
        assert volume is not None
        for connection in list(world.volume(ONE).connections):
            if connection.attached_host not in left["hosts"]:
                # An attach during another thread's detach.
                connection.detach()
                connection.disconnect()
        found = {
            "snapshots": [s.id for s in store.find(SnapshotRecord)],
            "hosts": [c.attached_host for c in store.find(ConnectionRecord)],
            "keys": list(volume.metadata),
        }
    else:
        found = {"names": [v.name for v in store.find(VolumeRecord)]}
    wrong = [
        f"{kind}: {sorted(map(str, found[kind]))}, not {sorted(map(str, left[kind]))}"
        for kind in found
        if sorted(map(str, found[kind])) != sorted(map(str, left[kind]))
    ]
    return wrong + world.disagreements() + world.remove_all()
