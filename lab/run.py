"""One run of the lab: its machines and a folder for their logs."""

from __future__ import annotations

import concurrent.futures
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable

from lab import images
from lab.machine import Machine
from lab.networks import NUMBERS

RUNS = images.CACHE / "runs"
#: The number of runs whose logs are kept.
KEPT = 6

#: Memory in MiB, and the sizes of additional disks in GiB.
_SHAPES: dict[str, tuple[int, tuple[int, ...]]] = {
    "controller": (2048, (20, 20)),
    "ceph": (2048, (20,)),
    "node1": (1024, ()),
    "node2": (1024, ()),
    "bare": (1024, ()),
    "service": (2048, (20,)),
    "node3": (1024, ()),
}


class Run:
    """Machines of one run. A machine is switched on when it is first used.

    The controller is always running, because its process is the switch of both storage networks.

    :param report: called with a line when a slow step begins or ends.
    :param name: added to the name of the log folder, to distinguish concurrent runs.
    """

    def __init__(self, report: Callable[[str], None], name: str = "") -> None:
        self._report = report
        self._images = images.prepare(report)
        self.folder = RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}{name and '-'}{name}"
        with images.alone():
            self.folder.mkdir(parents=True)
            for old in sorted(RUNS.iterdir())[:-KEPT]:
                images.remove(old)
        # The path of a socket must be short, so it cannot be in the checkout.
        self._sockets = tempfile.TemporaryDirectory(prefix="cinderlib-lab-")
        self._machines: dict[str, Machine] = {}
        report(f"logs of the machines: {self.folder}")

    def machine(self, name: str) -> Machine:
        """Return a machine, after starting it if necessary."""
        missing = [n for n in dict.fromkeys(("controller", name)) if n not in self._machines]
        if missing:
            began = time.monotonic()
            for each in missing:
                self._machines[each] = self._machine_object(each)
                self._machines[each].start()
            for each in missing:
                self._machines[each].wait()
            self._report(f"started {', '.join(missing)} in {time.monotonic() - began:.0f} s")
        return self._machines[name]

    def _machine_object(self, name: str) -> Machine:
        memory, disks = _SHAPES[name]
        joined = tuple(n for n in NUMBERS if n != name) if name == "controller" else ()
        return Machine(
            *(name, self._images, self.folder / name, pathlib.Path(self._sockets.name)),
            memory=memory,
            disks=disks,
            joined=joined,
        )

    def stop(self) -> None:
        """Switch off all machines."""
        for machine in self._machines.values():
            machine.stop()
        self._sockets.cleanup()

    def inventories(self, names: Iterable[str]) -> dict[str, dict[str, list[str]]]:
        """The inventories of these machines."""
        names = list(names)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            found = pool.map(lambda name: self._machines[name].inventory(), names)
            return dict(zip(names, found, strict=True))
