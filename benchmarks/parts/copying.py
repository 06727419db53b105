"""The copy of a migration through attachments of this host, against ``dd`` with direct I/O on the
same devices."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import cinderlib as cl
from benchmarks.bench import OURS, Bench
from benchmarks.measure import Figure, ratio, times
from cinderlib.node import copying
from cinderlib.streams.device import Device

_MIB = 1 << 20
#: The lowest accepted share of the throughput of ``dd``.
_SHARE = 0.8
#: MiB of data in a sparse volume of 4 GiB.
_DATA = 64
#: How many times the data a copy may write.
_MOST = 1.25


def run(bench: Bench) -> None:
    if shutil.which("dd") is None:
        print("Copies are skipped: dd is not installed", file=sys.stderr)
        return
    with cl.Controller(state_path=bench.new_folder()) as controller:
        root = str(bench.new_folder())
        files = controller.backend("files", volume_driver="file", file_root=root)
        _throughput(bench, files)
        _sparse(bench, files)


def _throughput(bench: Bench, files: cl.Backend) -> None:
    with files.create_volume(1).attached() as read, files.create_volume(1).attached() as written:
        _fill(read, range(1024))
        dd = ["dd", f"if={read.path}", f"of={written.path}", "bs=4M", "iflag=direct"]
        dd += ["oflag=direct", "conv=fsync", "status=none"]
        ways: dict[str, Callable[[], object]] = {
            OURS: lambda: copying.copy(read.path, written.path, _quiet),
            "dd": lambda: subprocess.run(dd, check=True),
        }
        found: dict[str, list[Figure]] = {who: [] for who in ways}
        for number in range(bench.many(7, 3) + 1):
            for who, copy in ways.items():
                (seconds,) = times(copy, 1)
                if number:  # the first round allocates the blocks of the target
                    found[who].append(Figure.of([1024 / seconds], "MiB/s"))
    bench.results.add(
        "copying", "a copy of 1 GiB of data between two devices",
        {who: Figure.of([each.median for each in all_], "MiB/s") for who, all_ in found.items()},
        ratio(found[OURS], found["dd"], "of dd"), _SHARE, at_least=True,
    )  # fmt: skip


def _sparse(bench: Bench, files: cl.Backend) -> None:
    with files.create_volume(4).attached() as read, files.create_volume(4).attached() as written:
        _fill(read, range(0, 4096, 4096 // _DATA))
        copied = copying.copy(read.path, written.path, _quiet)
    figure = Figure.of([copied.data_bytes / _MIB], "MiB")
    bench.results.add(
        "copying", f"a copy of a volume of 4 GiB with {_DATA} MiB of data: written",
        {OURS: figure}, Figure.of([figure.median / _DATA], "times the data"), _MOST,
    )  # fmt: skip


def _fill(connection: cl.Connection, places: range) -> None:
    """Write data to these places, in MiB."""
    with Device.of(connection, writable=True) as device:
        for place in places:
            device.write(place * _MIB, os.urandom(_MIB))
        device.flush()


def _quiet(done: int, total: int) -> None:
    pass
