"""One run of the lab: a folder for its logs, and the machines that are switched on in it."""

from __future__ import annotations

import concurrent.futures
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable

from lab import images
from lab.machine import NUMBERS, Machine

RUNS = images.CACHE / "runs"
#: How many runs keep their logs.
KEPT = 5

#: Memory in MiB, and the sizes of further disks in GiB.
_SHAPES: dict[str, tuple[int, tuple[int, ...]]] = {
    "controller": (2048, (20, 20)),
    "ceph": (2048, (20,)),
    "node1": (1024, ()),
    "node2": (1024, ()),
    "bare": (1024, ()),
}


class Run:
    """Machines that belong together.

    The controller's process is the switch of both storage networks, so it is always there.

    :param say: called with a line when something that takes time begins or is done.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._images = images.prepare(say)
        RUNS.mkdir(parents=True, exist_ok=True)
        for old in sorted(RUNS.iterdir())[: 1 - KEPT]:
            images.remove(old)
        self.folder = RUNS / time.strftime("%Y%m%d-%H%M%S")
        self.folder.mkdir()
        # Paths of sockets must be short, and the checkout's need not be.
        self._sockets = tempfile.TemporaryDirectory(prefix="cinderlib-lab-")
        self.machines: dict[str, Machine] = {}
        say(f"logs of the machines: {self.folder}")

    def start(self, names: Iterable[str]) -> None:
        """Switch on the machines that are not, all at once."""
        wanted = [
            n for n in NUMBERS if (n in names or n == "controller") and n not in self.machines
        ]
        began = time.monotonic()
        self._say(f"starting {', '.join(wanted)} ...")
        for name in wanted:
            memory, disks = _SHAPES[name]
            joined = tuple(n for n in NUMBERS if n != name) if name == "controller" else ()
            machine = Machine(
                *(name, self._images, self.folder / name, pathlib.Path(self._sockets.name)),
                memory=memory,
                disks=disks,
                joined=joined,
            )
            self.machines[name] = machine
            machine.start()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.machines[name].wait(), wanted))
        self._say(f"started {', '.join(wanted)} in {time.monotonic() - began:.0f} s")

    def stop(self) -> None:
        """Switch all off."""
        for machine in self.machines.values():
            machine.stop()
        self._sockets.cleanup()

    def inventories(self, names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
        """What there is of volumes on these machines."""
        names = list(names)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = pool.map(lambda name: self.machines[name].inventory(), names)
            return dict(zip(names, found, strict=True))
