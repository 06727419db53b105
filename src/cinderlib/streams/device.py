"""An attached volume as bytes: a block device, a plain file, or a handle of librbd."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol

from cinderlib import errors
from cinderlib.node import file_format, holes

#: The longest block that is read or compared at once.
BLOCK = 1 << 20
_ZEROS = bytes(BLOCK)


class Attached(Protocol):
    """A connection of this host: :class:`cinderlib.Connection`."""

    @property
    def path(self) -> Any: ...

    @property
    def conn_info(self) -> dict[str, Any]: ...

    @property
    def volume_id(self) -> str: ...


class Device:
    """Reads and writes the device of an attachment.

    :param path: :attr:`cinderlib.Connection.path`.
    :param writable: whether to write.
    :raises CinderlibError: it cannot be opened.
    """

    def __init__(self, path: Any, *, writable: bool = False) -> None:
        self._handle: Any = None
        self._fd = -1
        if isinstance(path, str):
            try:
                self._fd = os.open(path, (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC)
            except OSError as exc:
                raise errors.DeviceUnavailable(f"{path} cannot be opened: {exc.strerror}") from exc
        elif path is None:
            raise errors.DeviceUnavailable("The volume is not attached")
        else:
            self._handle = path
        self._can_punch = True

    @classmethod
    def of(cls, connection: Attached, *, writable: bool = False) -> Device:
        """The data of a volume that is attached to this host.

        :param writable: whether to write.
        :raises InvalidVolume: its path is a file that does not have the data as they are.
        :raises CinderlibError: it cannot be opened.
        """
        file_format.refuse_others(connection.conn_info.get("data"), connection.volume_id)
        return cls(connection.path, writable=writable)

    @property
    def fd(self) -> int | None:
        """The file descriptor; ``None`` for a handle of librbd."""
        return None if self._handle is not None else self._fd

    @property
    def size(self) -> int:
        """Size in bytes."""
        if self._handle is not None:
            self._handle.seek(0, os.SEEK_END)
            return int(self._handle.tell())
        return os.lseek(self._fd, 0, os.SEEK_END)

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the device; fewer only at its end."""
        parts = bytearray()
        if self._handle is not None:
            self._handle.seek(offset)
        while len(parts) < length:
            count = length - len(parts)
            if self._handle is not None:
                part = self._handle.read(count)
            else:
                part = os.pread(self._fd, count, offset + len(parts))
            if not part:
                break
            parts += part
        return bytes(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Write bytes; :meth:`flush` makes them durable."""
        if self._handle is not None:
            self._handle.seek(offset)
            self._handle.write(data)
            return
        view = memoryview(data)
        while view:
            count = os.pwrite(self._fd, view, offset)
            view, offset = view[count:], offset + count

    def zero(self, offset: int, length: int) -> None:
        """Make bytes zero, if possible without using space. Bytes that are already zero are not
        written."""
        if self._punch(offset, length):
            return
        for place, count in blocks(offset, length):
            if self.read(place, count) != _ZEROS[:count]:
                self.write(place, _ZEROS[:count])

    def _punch(self, offset: int, length: int) -> bool:
        if self._handle is not None:
            write_zeroes = getattr(getattr(self._handle, "rbd_image", None), "write_zeroes", None)
            if write_zeroes is None:
                return False
            for start in range(0, length, 1 << 30):
                write_zeroes(offset + start, min(1 << 30, length - start))
            return True
        if self._can_punch and length:
            self._can_punch = holes.punch(self._fd, offset, length)
        return self._can_punch

    def flush(self) -> None:
        """Write everything to the storage."""
        if self._handle is not None:
            self._handle.flush()
        else:
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the file. A handle belongs to the attachment."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def blocks(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Offsets and lengths of the blocks of 1 MiB, at most, of a range."""
    for start in range(offset, offset + length, BLOCK):
        yield start, min(BLOCK, offset + length - start)


def is_zero(data: bytes) -> bool:
    """Whether all bytes are zero.

    :param data: at most 1 MiB.
    """
    return data == _ZEROS[: len(data)]
