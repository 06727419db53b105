"""Reads and writes an attached volume: a device, a file or a file-like object."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import Any

from cinderlib.node.copying import ByteIO

MIB = 1 << 20


class Device:
    """A block device, a plain file or a file-like object.

    :param path: the value of ``Connection.path``.
    """

    def __init__(self, path: str | ByteIO) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Size in bytes."""
        with self._opened("rb") as file:
            file.seek(0, os.SEEK_END)
            return int(file.tell())

    def write(self, offset: int, data: bytes) -> None:
        """Write data, and flush it to the storage."""
        with self._opened("r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            if isinstance(self.path, str):
                os.fsync(file.fileno())

    def read(self, offset: int, length: int) -> bytes:
        """Read from the storage, not from the cache of this host."""
        with self._opened("rb") as file:
            if isinstance(self.path, str):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            file.seek(offset)
            return bytes(file.read(length))

    @contextlib.contextmanager
    def _opened(self, mode: str) -> Iterator[Any]:
        if isinstance(self.path, str):
            with open(self.path, mode) as file:
                yield file
        else:
            yield self.path


class Pattern:
    """Random data at the beginning, in the middle and at the end of a volume.

    :param size: size of the volume in bytes.
    """

    def __init__(self, size: int) -> None:
        self._parts = [(offset, os.urandom(MIB)) for offset in (0, size // 2, size - MIB)]

    @property
    def offsets(self) -> list[int]:
        """The offsets of the parts."""
        return [offset for offset, _ in self._parts]

    @property
    def length(self) -> int:
        """The number of bytes."""
        return sum(len(data) for _, data in self._parts)

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(data for _, data in self._parts)).hexdigest()

    def write(self, device: Device) -> None:
        for offset, data in self._parts:
            device.write(offset, data)

    def digest_of(self, device: Device) -> str:
        """The checksum of the device's data at the same offsets."""
        found = b"".join(device.read(offset, len(data)) for offset, data in self._parts)
        return hashlib.sha256(found).hexdigest()
