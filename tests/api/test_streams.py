"""Extents of volumes and snapshots, and streams with content and changes."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import random
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

import cinderlib
from cinderlib import errors
from cinderlib.drivers.file import extents
from cinderlib.streams.device import Device
from cinderlib.streams.format import MAGIC

GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10


@pytest.fixture
def controller(tmp_path: pathlib.Path) -> Iterator[cinderlib.Controller]:
    with cinderlib.Controller(state_path=tmp_path / "state") as controller:
        yield controller


@pytest.fixture
def backend(controller: cinderlib.Controller, tmp_path: pathlib.Path) -> cinderlib.Backend:
    return controller.backend("one", volume_driver="file", file_root=str(tmp_path / "one"))


@pytest.fixture
def other(controller: cinderlib.Controller, tmp_path: pathlib.Path) -> cinderlib.Backend:
    return controller.backend("other", volume_driver="file", file_root=str(tmp_path / "other"))


def write(volume: cinderlib.Volume, *places: tuple[int, bytes | int]) -> None:
    """Write data, or a number of zeros."""
    with volume.attached() as connection, Device(connection.path, writable=True) as device:
        for offset, data in places:
            if isinstance(data, int):
                device.zero(offset, data)
            else:
                device.write(offset, data)
        device.flush()


def sha256(volume: cinderlib.Volume) -> str:
    """The checksum of a volume's file: of the blocks that are not zero, and their places."""
    root = volume.backend.driver_info.options["file_root"]
    digest = hashlib.sha256()
    with (pathlib.Path(root) / volume.name_in_storage).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for start, end in extents.data(file.fileno(), 0, size):
            for offset in range(start - start % MIB, end, MIB):
                block = os.pread(file.fileno(), MIB, offset)
                if block.strip(b"\0"):
                    digest.update(b"%d %b" % (offset, block))
    return digest.hexdigest()


def content(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


def listed(found: Iterator[cinderlib.Extent]) -> list[tuple[int, int, str]]:
    return [(each.offset, each.length, each.kind) for each in found]


def stream_of(source: Any, since: Any = None) -> bytes:
    target = io.BytesIO()
    source.export_stream(target, since)
    return target.getvalue()


def test_extents_have_all_bytes(backend: cinderlib.Backend) -> None:
    volume = backend.create_volume(1)
    assert listed(volume.extents()) == [(0, GIB, "zero")]
    write(volume, (MIB, content(1, MIB)))
    snapshot = volume.create_snapshot()
    wanted = [(0, MIB, "zero"), (MIB, MIB, "data"), (2 * MIB, GIB - 2 * MIB, "zero")]
    assert listed(volume.extents()) == listed(snapshot.extents()) == wanted
    assert listed(volume.extents(since=snapshot)) == []


def test_extents_since_a_snapshot_are_what_was_written(backend: cinderlib.Backend) -> None:
    volume = backend.create_volume(1)
    write(volume, (MIB, content(1, 4 * MIB)))
    first = volume.create_snapshot()
    write(volume, (2 * MIB, content(2, 64 * KIB)), (4 * MIB, MIB), (500 * MIB, content(3, MIB)))
    second = volume.create_snapshot()
    wanted = [(2 * MIB, 64 * KIB, "data"), (4 * MIB, MIB, "zero"), (500 * MIB, MIB, "data")]
    assert listed(second.extents(since=first)) == wanted
    volume.extend(2)
    assert listed(volume.extents(since=first)) == wanted
    with pytest.raises(errors.InvalidInput, match="not older"):
        list(first.extents(since=second))
    with pytest.raises(errors.InvalidInput, match="not a snapshot of volume"):
        list(backend.create_volume(1).extents(since=first))


@pytest.mark.slow
def test_a_full_and_three_incremental_streams_give_the_same_content(
    backend: cinderlib.Backend, other: cinderlib.Backend
) -> None:
    volume, target = backend.create_volume(1), other.create_volume(1)
    write(volume, (0, content(1, 3 * MIB)))
    # A new volume of an array can contain old data.
    write(target, (10 * MIB, content(9, MIB)))
    snapshots: list[cinderlib.Snapshot] = []
    changes: list[tuple[tuple[int, bytes | int], ...]] = [
        (),
        ((MIB, content(2, 100 * KIB)), (700 * MIB, content(3, MIB))),
        ((0, MIB), (700 * MIB, 512 * KIB)),
        ((GIB - MIB, content(4, MIB)), (3 * MIB, content(5, 10))),
    ]
    for number, change in enumerate(changes):
        write(volume, *change)
        snapshots.append(volume.create_snapshot())
        stream = stream_of(snapshots[-1], snapshots[-2] if number else None)
        assert len(stream) < (4 * MIB if not number else 1.3 * MIB)
        applied = target.apply_stream(io.BytesIO(stream))
        assert (applied.changed, applied.point) == (True, snapshots[-1].id)
        assert sha256(target) == sha256(volume)
    assert [*target.connections, *volume.connections] == []
    assert [each.id for each in backend.volumes] == [volume.id]


def test_a_stream_with_another_base_is_refused(
    backend: cinderlib.Backend, other: cinderlib.Backend
) -> None:
    volume, target = backend.create_volume(1), other.create_volume(1)
    first, second, third = (volume.create_snapshot() for _ in range(3))
    full = stream_of(first)
    changes, later = stream_of(second, first), stream_of(third, second)
    with pytest.raises(errors.InvalidVolume, match="not known"):
        target.apply_stream(io.BytesIO(changes))
    target.apply_stream(io.BytesIO(full))
    with pytest.raises(errors.InvalidVolume, match=f"has the content of {first.id}"):
        target.apply_stream(io.BytesIO(later))
    # A refused stream does not change the record.
    stream_of(target)  # nor does an export
    assert target.apply_stream(io.BytesIO(changes)).changed
    assert not target.apply_stream(io.BytesIO(changes)).changed
    assert target.apply_stream(io.BytesIO(later)).point == third.id
    write(target, (0, b"x"))
    with pytest.raises(errors.InvalidVolume, match="not known"):
        target.apply_stream(io.BytesIO(stream_of(volume.create_snapshot(), third)))
    volume.extend(2)
    larger = stream_of(volume)
    with pytest.raises(errors.InvalidInput, match="extend it"):
        target.apply_stream(io.BytesIO(larger))


@pytest.mark.parametrize("damage", ["cut", "flipped", "header", "text"])
def test_a_damaged_stream_leaves_the_volume_marked_and_can_be_applied_again(
    backend: cinderlib.Backend, other: cinderlib.Backend, damage: str
) -> None:
    volume, target = backend.create_volume(1), other.create_volume(1)
    base = volume.create_snapshot()
    target.apply_stream(io.BytesIO(stream_of(base)))
    write(volume, (0, content(1, 3 * MIB)))
    good = stream_of(volume.create_snapshot(), base)
    bad = bytearray(good)
    match damage:
        case "cut":
            del bad[-40:]
        case "flipped":
            bad[2 * MIB] ^= 1
        case "header":
            bad[len(MAGIC) + 30] ^= 1
        case "text":
            bad[:] = b"#!/bin/sh\n"
    with pytest.raises(errors.InvalidInput, match="stream"):
        target.apply_stream(io.BytesIO(bytes(bad)))
    target.refresh()
    assert target.applied is not None
    assert target.applied.complete == (damage in ("header", "text"))
    if not target.applied.complete:
        other_changes = stream_of(volume.create_snapshot(), base)
        with pytest.raises(errors.InvalidVolume, match="Apply that stream again"):
            target.apply_stream(io.BytesIO(other_changes))
    target.apply_stream(io.BytesIO(good))
    assert target.applied.complete
    assert sha256(target) == sha256(volume)


@pytest.mark.slow
@pytest.mark.parametrize("reads", [0, 1, 3, 5, 7, 100])
def test_a_killed_apply_is_marked_and_can_be_repeated(tmp_path: pathlib.Path, reads: int) -> None:
    """The process is killed by a read of the stream, and at the end after the last write."""
    program = f"""
import os, signal, sys
import cinderlib
from cinderlib.operations import apply_stream

class Dying:
    def __init__(self): self.file, self.left = open({str(tmp_path / "stream")!r}, "rb"), {reads}
    def read(self, size=-1):
        if not self.left: os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return self.file.read(size)

if {reads} == 100:
    apply_stream._complete = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
store = {{"storage": "db", "connection": "sqlite:///{tmp_path}/store"}}
with cinderlib.Controller(store, state_path={str(tmp_path / "state")!r}) as controller:
    controller.backend("other", volume_driver="file", file_root={str(tmp_path / "other")!r})
    controller.volume(sys.argv[1]).apply_stream(Dying())
"""
    store = {"storage": "db", "connection": f"sqlite:///{tmp_path}/store"}
    with cinderlib.Controller(store, state_path=tmp_path / "state") as controller:
        one, other = (
            controller.backend(name, volume_driver="file", file_root=str(tmp_path / name))
            for name in ("one", "other")
        )
        volume, target = one.create_volume(1), other.create_volume(1)
        write(volume, (0, content(1, MIB)))
        base = volume.create_snapshot()
        target.apply_stream(io.BytesIO(stream_of(base)))
        write(volume, (0, content(2, MIB)), (9 * MIB, content(3, MIB)))
        stream = stream_of(volume.create_snapshot(), base)
        (tmp_path / "stream").write_bytes(stream)
        killed = subprocess.run([sys.executable, "-c", program, target.id], capture_output=True)
        assert killed.returncode == -9, killed.stderr.decode()
        controller.recover()
        target.refresh()
        assert target.applied is not None
        assert target.applied.complete == (reads < 3), "the header has 3 reads"
        assert target.connections == []
        target.apply_stream(io.BytesIO(stream))
        assert target.applied.complete
        assert sha256(target) == sha256(volume)
        assert target.connections == []


def test_an_interrupted_volume_that_was_written_needs_everything(
    backend: cinderlib.Backend, other: cinderlib.Backend
) -> None:
    volume, target = backend.create_volume(1), other.create_volume(1)
    base = volume.create_snapshot()
    target.apply_stream(io.BytesIO(stream_of(base)))
    write(volume, (0, content(1, MIB)))
    last = volume.create_snapshot()
    good = stream_of(last, base)
    with pytest.raises(errors.InvalidInput):
        target.apply_stream(io.BytesIO(good[:-40]))
    write(target, (5 * MIB, b"other"))
    with pytest.raises(errors.InvalidVolume, match="incomplete"):
        target.apply_stream(io.BytesIO(good))
    assert target.apply_stream(io.BytesIO(stream_of(last))).changed
    assert sha256(target) == sha256(volume)


def test_a_connected_volume_is_refused(backend: cinderlib.Backend) -> None:
    volume = backend.create_volume(1)
    stream = stream_of(volume)
    with volume.attached():
        with pytest.raises(errors.InvalidVolume, match="snapshot"):
            stream_of(volume)
        with pytest.raises(errors.InvalidVolume, match="connected"):
            volume.apply_stream(io.BytesIO(stream))
    volume.apply_stream(io.BytesIO(stream))
    volume.revert_to_snapshot(volume.create_snapshot())
    assert volume.applied is None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mkfs.xfs") is None, reason="XFS is not installed")
def test_files_that_share_blocks_are_compared_without_reading(
    controller: cinderlib.Controller, tmp_path: pathlib.Path
) -> None:
    image, folder = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(2 * GIB)
    folder.mkdir()
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True).returncode:
        pytest.skip("this host cannot mount XFS")
    try:
        backend = controller.backend("xfs", volume_driver="file", file_root=str(folder / "v"))
        volume = backend.create_volume(1)
        write(volume, (0, content(1, 64 * MIB)))
        first = volume.create_snapshot()
        write(volume, (5 * MIB, content(2, MIB)), (6 * MIB, content(1, 6 * MIB)[:4096]))
        second = volume.create_snapshot()
        found = listed(second.extents(since=first))
        assert found == [(5 * MIB, MIB + 4 * KIB, "data")]
        read = pathlib.Path("/proc/self/io").read_text()
        for _ in range(10):
            list(second.extents(since=first))
        assert _read(pathlib.Path("/proc/self/io").read_text()) - _read(read) < 64 * MIB
        backend.controller.close()
    finally:
        subprocess.run(["umount", folder], check=True)


def _read(io_text: str) -> int:
    """Bytes that this process has read, from the disk or the cache."""
    return int(io_text.split("rchar: ")[1].split()[0])


def test_the_format_is_the_documented_one(backend: cinderlib.Backend) -> None:
    """A reader that was written from docs/streams.md."""
    volume = backend.create_volume(1, name="data")
    write(volume, (MIB, b"begin"))
    snapshot = volume.create_snapshot()
    stream = stream_of(snapshot)
    assert stream.startswith(b"CINDERLIB STREAM 1\n")
    place, kinds, image = 19, [], {}
    while place < len(stream):
        beginning = stream[place : place + 20]
        kind, offset, length = (
            beginning[:4],
            int.from_bytes(beginning[4:12]),
            int.from_bytes(beginning[12:20]),
        )
        checksum = int.from_bytes(stream[place + 20 : place + 24])
        end = place + 24 + (0 if kind == b"ZERO" else length)
        data = stream[place + 24 : end]
        assert checksum == zlib.crc32(beginning + data)
        if kind == b"DONE":
            assert data == hashlib.sha256(stream[:place]).digest()
        if kind == b"DATA":
            image[offset] = data
        kinds.append(kind)
        place = end
    assert (kinds[0], kinds[-1]) == (b"HEAD", b"DONE")
    assert image[MIB].startswith(b"begin")
