"""Raw images: the bytes of a device in a file or pipe."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterable
from typing import IO

from cinderlib import errors
from cinderlib.progress import Progress
from cinderlib.streams.device import BLOCK, Device, blocks, is_zero
from cinderlib.streams.format import Source

#: Receives the progress.
Report = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True)
class Copied:
    """The result of a copy.

    :ivar size_bytes: bytes that were read.
    :ivar data_bytes: bytes in blocks of 1 MiB that are not only zeros.
    """

    size_bytes: int
    data_bytes: int


def export(
    source: Device, target: IO[bytes], *, sparse: bool, report: Report
) -> tuple[Copied, str]:
    """Copy a device to a file or a pipe.

    :param sparse: skip blocks of zeros; the target is a new file.
    :returns: also the SHA-256 checksum.
    """
    total, checksum = source.size, hashlib.sha256()

    def write(place: int, block: bytes) -> None:
        checksum.update(block)
        if sparse and is_zero(block):
            target.seek(len(block), io.SEEK_CUR)
        else:
            target.write(block)

    every = (source.read(*place) for place in blocks(0, total))
    copied = _copy(every, write, total, report)
    if sparse:
        target.truncate()
    target.flush()
    return copied, checksum.hexdigest()


def load(source: Source, target: Device, total: int | None, report: Report) -> Copied:
    """Copy a file or a pipe to a device. The rest of the device becomes zero.

    A new volume can contain data of a deleted one. Therefore zeros are compared with the device,
    and written only where it has other data, so that thin volumes stay small.

    :param total: bytes of the source; ``None`` if unknown.
    :raises InvalidInput: the source is larger than the device.
    """
    room = target.size

    def write(place: int, block: bytes) -> None:
        if place + len(block) > room:
            raise errors.InvalidInput(
                f"The image is larger than the volume, which has {room} bytes: specify a larger"
                " SIZE"
            )
        if is_zero(block):
            target.zero(place, len(block))
        else:
            target.write(place, block)

    every = iter(lambda: read_whole(source, BLOCK), b"")
    copied = _copy(every, write, room if total is None else total, report)
    if copied.size_bytes < room:
        target.zero(copied.size_bytes, room - copied.size_bytes)
    target.flush()
    return copied


def _copy(
    every: Iterable[bytes], write: Callable[[int, bytes], None], total: int, report: Report
) -> Copied:
    size = data = 0
    for block in every:
        write(size, block)
        size += len(block)
        data += 0 if is_zero(block) else len(block)
        report(Progress(size, total, "bytes"))
    return Copied(size, data)


def read_whole(file: Source, count: int) -> bytes:
    """Read a whole block: a pipe returns less at once."""
    parts: list[bytes] = []
    while count and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
