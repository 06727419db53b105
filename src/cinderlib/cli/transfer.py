"""Copies the content of volumes from and to files and pipes."""

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
Listener = Callable[[Progress], None]


@dataclasses.dataclass(frozen=True)
class Copied:
    """The result of a copy.

    :ivar size_bytes: bytes that were read.
    :ivar data_bytes: bytes in blocks of 1 MiB that are not only zeros.
    :ivar sha256: checksum of the bytes that were read.
    """

    size_bytes: int
    data_bytes: int
    sha256: str


def export(source: Device, target: IO[bytes], *, sparse: bool, report: Listener) -> Copied:
    """Copy a device to a file or a pipe.

    :param sparse: skip blocks of zeros; the target is a new file.
    """
    total = source.size

    def write(place: int, block: bytes) -> None:
        if sparse and is_zero(block):
            target.seek(len(block), io.SEEK_CUR)
        else:
            target.write(block)

    every = (source.read(*place) for place in blocks(0, total))
    copied = _copy(every, write, total, report)
    if sparse:
        target.truncate()
    target.flush()
    return copied


def load(source: Source, target: Device, total: int | None, report: Listener) -> Copied:
    """Copy a file or a pipe to a device.

    A new volume can contain data of a deleted one. Therefore zeros are compared with the device,
    and written only where it has other data, so that thin volumes stay small.

    :param total: bytes of the source; ``None`` if unknown.
    :raises InvalidInput: the source is larger than the device, or not a raw image.
    """
    room = target.size

    def write(place: int, block: bytes) -> None:
        if not place:
            refuse_qcow2(block)
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
    # The rest of the volume must not contain data of a deleted volume either.
    if copied.size_bytes < room:
        target.zero(copied.size_bytes, room - copied.size_bytes)
    target.flush()
    return copied


def _copy(
    every: Iterable[bytes], write: Callable[[int, bytes], None], total: int, report: Listener
) -> Copied:
    checksum, size, data = hashlib.sha256(), 0, 0
    for block in every:
        checksum.update(block)
        write(size, block)
        size += len(block)
        data += 0 if is_zero(block) else len(block)
        report(Progress(size, total, "bytes"))
    return Copied(size, data, checksum.hexdigest())


def refuse_qcow2(beginning: bytes) -> None:
    """:raises InvalidInput: a file begins like a qcow2 image, whose bytes are not those of a
    disk."""
    if beginning.startswith(b"QFI\xfb"):
        raise errors.InvalidInput(
            "The file is a qcow2 image: convert it with `qemu-img convert -O raw` first"
        )


def read_whole(file: Source, count: int) -> bytes:
    """Read a whole block: a pipe returns less at once."""
    parts: list[bytes] = []
    while count and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class Rest:
    """A file or pipe whose beginning was read already.

    :param beginning: the bytes that were read.
    """

    def __init__(self, beginning: bytes, file: IO[bytes]) -> None:
        self._beginning = beginning
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes, perhaps fewer."""
        if self._beginning:
            part = self._beginning if size < 0 else self._beginning[:size]
            self._beginning = self._beginning[len(part) :]
            return part
        return self._file.read(size)
