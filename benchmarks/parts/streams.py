"""Streams of changes: the cost follows the changes, not the content of the volume."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import cinderlib as cl
from benchmarks.bench import Bench
from benchmarks.measure import Figure, times
from cinderlib.streams.device import Device

_GIB, _MIB = 1 << 30, 1 << 20
#: MiB that are written between two snapshots.
_CHANGED = 16
#: How many times as long or as large a stream of the same changes may be with 8 times the data.
_LIMIT = 2


def run(bench: Bench) -> None:
    small = bench.many(256, 64)
    seconds: dict[int, Figure] = {}
    sizes: dict[int, Figure] = {}
    with _xfs(bench) as folder:
        if folder is None:
            print("Streams are skipped: this host cannot mount XFS", file=sys.stderr)
            return
        with cl.Controller(state_path=bench.new_folder()) as controller:
            files = controller.backend("files", volume_driver="file", file_root=str(folder / "v"))
            for data in (small, 8 * small):
                seconds[data], sizes[data] = _measured(bench, files, data)
    few, many = sorted(seconds)
    for what, found, unit in (("time", seconds, "s"), ("bytes", sizes, "MiB")):
        ratio = Figure.of([found[many].median / found[few].median], "")
        figures = {f"{data} MiB of data": found[data] for data in (few, many)}
        bench.results.add(
            "streams", f"a stream with {_CHANGED} MiB of changes: {what} in {unit}", figures, ratio,
            _LIMIT,
        )  # fmt: skip


def _measured(bench: Bench, files: cl.Backend, data: int) -> tuple[Figure, Figure]:
    """Seconds and MiB of streams with the changes of a volume.

    :param data: MiB of the volume that have data.
    """
    volume = files.create_volume(3 if data < 3 * 1024 else data // 1024 + 1)
    _write(volume, 0, data)
    base = volume.create_snapshot()
    _write(volume, data // 2, _CHANGED)
    snapshot = volume.create_snapshot()
    lengths: list[float] = []

    def export() -> None:
        stream = io.BytesIO()
        snapshot.export_stream(stream, since=base)
        lengths.append(len(stream.getvalue()) / _MIB)

    taken = times(export, bench.many(9, 3))
    return Figure.of(taken, "s"), Figure.of(lengths, "MiB")


def _write(volume: cl.Volume, offset: int, count: int) -> None:
    """:param offset: in MiB, as well as ``count``."""
    with volume.attached() as connection, Device(connection.path, writable=True) as device:
        for place in range(offset, offset + count):
            device.write(place * _MIB, os.urandom(_MIB))
        device.flush()


@contextlib.contextmanager
def _xfs(bench: Bench) -> Iterator[pathlib.Path | None]:
    """A filesystem whose files can share blocks; ``None`` without privileges."""
    image, folder = bench.new_folder() / "image", bench.new_folder()
    with image.open("wb") as file:
        file.truncate(12 * _GIB)
    commands = (["mkfs.xfs", "-q", str(image)], ["mount", "-o", "loop", str(image), str(folder)])
    for command in commands:
        try:
            failed = subprocess.run(command, capture_output=True).returncode
        except FileNotFoundError:
            failed = 1
        if failed:
            yield None
            return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
