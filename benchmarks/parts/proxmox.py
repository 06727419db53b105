"""The storage type of Proxmox VE: the calls that its web page and the start of a guest wait for."""

from __future__ import annotations

import os
import pathlib
import tempfile

from benchmarks.bench import Bench
from benchmarks.measure import Figure

#: The highest accepted milliseconds of each call, from Perl.
LIMITS = {"list_images": 300, "status": 20, "activate_volume of an attached disk": 10}


def run(bench: Bench) -> None:
    if os.geteuid() != 0:
        print("proxmox is skipped: it needs root, for loop devices")
        return
    from proxmox.conftest import Cluster

    disks = bench.many(1000, 200)
    for central in (False, True):
        where = "nodes with a service on another host" if central else "a store in common"
        # A short path, because a socket's is limited.
        with (
            tempfile.TemporaryDirectory(prefix="cl-") as folder,
            Cluster(pathlib.Path(folder), "node1", central=central) as cluster,
        ):
            for call, times in cluster.speed(disks).items():
                figure = Figure.of(times, "ms")
                bench.results.add(
                    "proxmox", f"{call}, {disks} disks, {where}", {"cinderlib": figure},
                    figure if call in LIMITS else None, LIMITS.get(call),
                )  # fmt: skip
