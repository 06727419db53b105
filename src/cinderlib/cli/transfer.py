"""Copies the content of volumes from and to files and pipes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable
from typing import IO, Any

from cinderlib import errors
from cinderlib.progress import Progress

_BLOCK = 1024**2
_ZEROS = bytes(_BLOCK)

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


def size_of(path: str) -> int:
    """The size of a file or block device in bytes."""
    with open(path, "rb") as file:
        return file.seek(0, os.SEEK_END)


def export(source: str, target: IO[bytes], *, sparse: bool, report: Listener) -> Copied:
    """Copy a device to a file or a pipe.

    :param sparse: skip blocks of zeros; the target is a new file.
    """
    total = size_of(source)
    with open(source, "rb", buffering=0) as device:

        def write(block: bytes, is_zero: bool) -> None:
            if sparse and is_zero:
                target.seek(len(block), io.SEEK_CUR)
            else:
                target.write(block)

        copied = _copy(device, write, total, report)
        if sparse:
            target.truncate()
    target.flush()
    return copied


def load(source: IO[bytes], target: str, total: int | None, report: Listener) -> Copied:
    """Copy a file or a pipe to a device.

    A new volume can contain data of a deleted one. Therefore zeros are compared with the device,
    and written only where it has other data, so that thin volumes stay small.

    :param total: bytes of the source; ``None`` if unknown.
    :raises InvalidInput: the source is larger than the device, or not a raw image.
    """
    room = size_of(target)
    with open(target, "r+b", buffering=0) as device:

        def write(block: bytes, is_zero: bool) -> None:
            place = device.tell()
            if not place:
                refuse_qcow2(block)
            if place + len(block) > room:
                raise errors.InvalidInput(
                    f"The image is larger than the volume, which has {room} bytes: specify a larger"
                    " SIZE"
                )
            if is_zero and _read(device, len(block)) == block:
                return
            device.seek(place)
            _write(device, block)

        copied = _copy(source, write, room if total is None else total, report)
        # The rest of the volume must not contain data of a deleted volume either.
        while rest := min(_BLOCK, room - device.tell()):
            write(_ZEROS[:rest], True)
        os.fsync(device.fileno())
    return copied


def _copy(
    source: Any, write: Callable[[bytes, bool], None], total: int, report: Listener
) -> Copied:
    checksum, size, data = hashlib.sha256(), 0, 0
    while block := _read(source, _BLOCK):
        is_zero = block == _ZEROS[: len(block)]
        checksum.update(block)
        write(block, is_zero)
        size += len(block)
        data += 0 if is_zero else len(block)
        report(Progress(size, total, "bytes"))
    return Copied(size, data, checksum.hexdigest())


def refuse_qcow2(beginning: bytes) -> None:
    """:raises InvalidInput: a file begins like a qcow2 image, whose bytes are not those of a
    disk."""
    if beginning.startswith(b"QFI\xfb"):
        raise errors.InvalidInput(
            "The file is a qcow2 image: convert it with `qemu-img convert -O raw` first"
        )


def _read(file: Any, count: int) -> bytes:
    """Read a whole block: a pipe returns less at once."""
    parts: list[bytes] = []
    while count and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _write(file: Any, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]
