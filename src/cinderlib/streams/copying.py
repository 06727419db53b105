"""Copies between devices and streams."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import IO

from cinderlib import errors
from cinderlib.drivers.port_values import Extent
from cinderlib.progress import Progress
from cinderlib.streams.device import Device, blocks, is_zero
from cinderlib.streams.format import Header, Reader, Writer

#: Receives the progress.
Report = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """A written stream.

    :ivar point: identifies the content; see :class:`cinderlib.streams.format.Header`.
    :ivar since: the point that it begins with, if it is incremental.
    :ivar size_bytes: of the volume.
    :ivar data_bytes: bytes of data in the stream.
    :ivar sha256: checksum of the stream, without its last frame.
    """

    point: str
    since: str | None
    size_bytes: int
    data_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, slots=True)
class Applied:
    """A stream that a volume has now.

    :ivar changed: whether it was written; not if the volume already had this point.
    :ivar data_bytes: bytes of data that were written.
    :ivar sha256: checksum of the stream; empty if it was not read.
    """

    point: str
    since: str | None
    changed: bool
    data_bytes: int = 0
    sha256: str = ""


def write_stream(
    device: Device, target: IO[bytes], header: Header, extents: Iterable[Extent], report: Report
) -> Exported:
    """Write the extents of a device as a stream."""
    stream = Writer(target, header)
    done = written = 0
    for extent in extents:
        if extent.kind == "zero":
            stream.zero(extent.offset, extent.length)
            continue
        for offset, length in blocks(extent.offset, extent.length):
            block = device.read(offset, length)
            if len(block) < length:
                raise errors.DeviceUnavailable(
                    f"The device ends at byte {offset + len(block)}, before the end of the volume"
                )
            if is_zero(block):
                stream.zero(offset, length)
            else:
                stream.data(offset, block)
                written += length
            done += length
            report(Progress(done, header.data_bytes, "bytes"))
    digest = stream.end()
    target.flush()
    return Exported(header.point, header.since, header.size, written, digest)


def apply_stream(stream: Reader, device: Device, report: Report) -> Applied:
    """Write a stream to a device, and flush it. The rest of a larger device becomes zero if the
    stream has the whole content."""
    header = stream.header
    done = written = 0
    for frame in stream.frames():
        if frame.data is None:
            device.zero(frame.offset, frame.length)
            continue
        device.write(frame.offset, frame.data)
        written += frame.length
        done += frame.length
        report(Progress(done, max(header.data_bytes, done), "bytes"))
    if header.since is None and device.size > header.size:
        device.zero(header.size, device.size - header.size)
    device.flush()
    return Applied(header.point, header.since, True, written, stream.sha256)
