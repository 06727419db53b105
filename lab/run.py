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
KEPT = 6

#: Memory in MiB, and the sizes of further disks in GiB.
_SHAPES: dict[str, tuple[int, tuple[int, ...]]] = {
    "controller": (2048, (20, 20)),
    "ceph": (2048, (20,)),
    "node1": (1024, ()),
    "node2": (1024, ()),
    "bare": (1024, ()),
}


class Run:
    """Machines that belong together. A machine is switched on when it is first asked for.

    The controller's process is the switch of both storage networks, so it is always there.

    :param say: called with a line when something that takes time begins or is done.
    :param name: of the folder of its logs, after the time: several runs can go on at once.
    """

    def __init__(self, say: Callable[[str], None], name: str = "") -> None:
        self._say = say
        self._images = images.prepare(say)
        self.folder = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}{name and '-'}{name}"
        with images.alone():
            self.folder.mkdir(parents=True)
            for old in sorted(RUNS.iterdir())[:-KEPT]:
                images.remove(old)
        # Paths of sockets must be short, and the checkout's need not be.
        self._sockets = tempfile.TemporaryDirectory(prefix="cinderlib-lab-")
        self._machines: dict[str, Machine] = {}
        say(f"logs of the machines: {self.folder}")

    def machine(self, name: str) -> Machine:
        """The machine of a name, which answers."""
        missing = [n for n in dict.fromkeys(("controller", name)) if n not in self._machines]
        if missing:
            began = time.monotonic()
            for each in missing:
                self._machines[each] = self._made(each)
                self._machines[each].start()
            for each in missing:
                self._machines[each].wait()
            self._say(f"started {', '.join(missing)} in {time.monotonic() - began:.0f} s")
        return self._machines[name]

    def _made(self, name: str) -> Machine:
        memory, disks = _SHAPES[name]
        joined = tuple(n for n in NUMBERS if n != name) if name == "controller" else ()
        return Machine(
            *(name, self._images, self.folder / name, pathlib.Path(self._sockets.name)),
            memory=memory,
            disks=disks,
            joined=joined,
        )

    def stop(self) -> None:
        """Switch all off."""
        for machine in self._machines.values():
            machine.stop()
        self._sockets.cleanup()

    def inventories(self, names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
        """What there is of volumes on these machines."""
        names = list(names)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = pool.map(lambda name: self._machines[name].inventory(), names)
            return dict(zip(names, found, strict=True))
