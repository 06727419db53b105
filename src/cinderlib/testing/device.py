"""Bytes in and out of an attached volume, whatever the attachment's path is."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from typing import Any, Protocol

MIB = 1 << 20


class ByteIO(Protocol):
    """What a protocol without a device gives instead of a path (RBD through librbd)."""

    def seek(self, offset: int, whence: int = 0) -> Any: ...

    def tell(self) -> int: ...

    def read(self, length: int) -> bytes: ...

    def write(self, data: bytes) -> Any: ...

    def flush(self) -> None: ...


class Device:
    """A block device, a plain file or a file-like object.

    :param path: what ``Connection.path`` gave.
    """

    def __init__(self, path: str | ByteIO) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """In bytes."""
        with self._opened("rb") as file:
            file.seek(0, os.SEEK_END)
            return int(file.tell())

    def write(self, offset: int, data: bytes) -> None:
        """Write, and return when it is on the storage."""
        with self._opened("r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            if isinstance(self.path, str):
                os.fsync(file.fileno())

    def read(self, offset: int, length: int) -> bytes:
        """Read from the storage, past what this host may have cached."""
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
    """Random data at the beginning, in the middle and at the end of a volume's first bytes.

    :param size: how many bytes the volume has when it is written.
    """

    def __init__(self, size: int) -> None:
        self._parts = [(offset, os.urandom(MIB)) for offset in (0, size // 2, size - MIB)]

    @property
    def digest(self) -> str:
        return hashlib.sha256(b"".join(data for _, data in self._parts)).hexdigest()

    def write(self, device: Device) -> None:
        for offset, data in self._parts:
            device.write(offset, data)

    def digest_of(self, device: Device) -> str:
        """The checksum of what the device has in the same places."""
        found = b"".join(device.read(offset, len(data)) for offset, data in self._parts)
        return hashlib.sha256(found).hexdigest()
