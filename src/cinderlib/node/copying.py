"""Copies and wipes the content of attached volumes: only data, past the page cache.

Zeros are not written. They are discarded on the target, which may contain other data, so
thin volumes stay small. The next block is read while the last one is written.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from cinderlib.errors import NodeError
from cinderlib.node import holes

#: Bytes for each system call.
BLOCK = 4 << 20
_ZEROS = bytes(BLOCK)
#: Bytes that are written, or discarded because they are all zeros.
_GRAIN = 64 << 10
#: Bytes at the beginning of a grain that usually show that it has data.
_BEGINNING = 64
_ZERO_GRAIN = bytes(_GRAIN)
#: Bytes that are wiped between two reports of the progress.
_WIPE_STEP = 64 << 20

#: Called with the number of bytes that are done and the total.
Report = Callable[[int, int], None]


class ByteIO(Protocol):
    """A handle of a protocol without a device (RBD through librbd)."""

    def seek(self, offset: int, whence: int = 0) -> Any: ...

    def tell(self) -> int: ...

    def read(self, length: int) -> bytes: ...

    def write(self, data: bytes) -> Any: ...

    def flush(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Copied:
    """The result of a copy.

    :ivar size_bytes: bytes of the source.
    :ivar data_bytes: bytes that were written: those of parts that are not only zeros.
    """

    size_bytes: int
    data_bytes: int


def copy(source: str | ByteIO, target: str | ByteIO, report: Report) -> Copied:
    """Copy a device, file or handle to another one, completely and durably.

    :param target: at least as large as the source. The rest of it is zeroed.
    :raises NodeError: a read or write failed, or the target is smaller. The target may have a part
        of the data.
    """
    try:
        with _opened(source, write=False) as read, _opened(target, write=True) as written:
            size, room = read.size, written.size
            if size > room:
                raise NodeError(
                    f"The source has {size} bytes, the target {room}: the target did not change"
                )
            data_bytes = _copy(read, written, report)
            written.zero(size, room - size)
            written.sync()
    except OSError as exc:
        raise NodeError(f"The copy failed: {exc.strerror or exc}") from exc
    return Copied(size, data_bytes)


def wipe(target: str | ByteIO, report: Report) -> None:
    """Let all bytes of a device, file or handle read as zeros, durably. They are discarded if it
    can do that, and otherwise written where it has other data.

    :raises NodeError: it failed. A part may be wiped.
    """
    try:
        with _opened(target, write=True) as written:
            size = written.size
            report(0, size)
            for offset in range(0, size, _WIPE_STEP):
                step = min(_WIPE_STEP, size - offset)
                written.zero(offset, step)
                report(offset + step, size)
            written.sync()
    except OSError as exc:
        raise NodeError(f"The device failed: {exc.strerror or exc}") from exc


def _copy(source: _Side, target: _Side, report: Report) -> int:
    data_bytes, size = 0, source.size
    report(0, size)
    with concurrent.futures.ThreadPoolExecutor(1, "cinderlib-copy") as reader:
        blocks = source.blocks()
        upcoming = reader.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = reader.submit(next, blocks, None)
            offset, length, data = block
            if data is None:
                target.zero(offset, length)
            else:
                for begin, end, has_data in _parts(data):
                    if has_data:
                        target.write(offset + begin, memoryview(data)[begin:end])
                        data_bytes += end - begin
                    else:
                        target.zero(offset + begin, end - begin)
            report(offset + length, size)
    return data_bytes


def _parts(data: Data) -> Iterator[tuple[int, int, bool]]:
    """Begin and end of each part that has data, or only zeros."""
    begin, had_data = 0, None
    for at in range(0, len(data), _GRAIN):
        has_data = not (_is_zero(data[at : at + _BEGINNING]) and _is_zero(data[at : at + _GRAIN]))
        if had_data is not None and has_data is not had_data:
            yield begin, at, had_data
            begin = at
        had_data = has_data
    if had_data is not None:
        yield begin, len(data), had_data


def _is_zero(data: Data) -> bool:
    # A view would be compared one byte at a time.
    return bytes(data) == _ZERO_GRAIN[: len(data)]


#: A view is valid until the second block after it is read.
Data = bytes | memoryview
Block = tuple[int, int, Data | None]


class _Side(Protocol):
    size: int

    def blocks(self) -> Iterator[Block]:
        """Offset, length and data of each block; the data is ``None`` for a hole."""

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: Data) -> None: ...

    def zero(self, offset: int, length: int) -> None:
        """Let a range read as zeros, without using space if possible."""

    def sync(self) -> None: ...


@contextlib.contextmanager
def _opened(place: str | ByteIO, *, write: bool) -> Iterator[_Side]:
    if not isinstance(place, str):
        yield _Handle(place)
        return
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC
    try:
        fd = os.open(place, flags | os.O_DIRECT)
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        fd = os.open(place, flags)  # the filesystem has no direct I/O
    try:
        yield _Device(fd)
    finally:
        os.close(fd)


class _Device:
    """A block device or a file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = os.lseek(fd, 0, os.SEEK_END)
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)
        # Direct I/O needs aligned memory, which an anonymous map has. One block is written from it
        # while the next one is read.
        self._buffer, self._other = (memoryview(mmap.mmap(-1, BLOCK)) for _ in range(2))
        self._discards = True

    def blocks(self) -> Iterator[Block]:
        end = 0
        for start, stop in self._extents():
            yield from _holes(end, start)
            while start < stop:
                length = min(BLOCK, stop - start)
                yield start, length, self._read(start, length)
                self._buffer, self._other = self._other, self._buffer
                start += length
            end = stop
        yield from _holes(end, self.size)

    def _extents(self) -> Iterator[tuple[int, int]]:
        """Start and end of each part with data. Block devices do not report it."""
        end = 0
        while end < self.size:
            try:
                start = os.lseek(self._fd, end, os.SEEK_DATA) if self._is_file else end
            except OSError as exc:
                if exc.errno == errno.ENXIO:
                    return
                raise
            end = os.lseek(self._fd, start, os.SEEK_HOLE) if self._is_file else self.size
            yield start, min(end, self.size)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._read(offset, length))

    def _read(self, offset: int, length: int) -> memoryview:
        view, done = self._buffer, 0
        while done < length:
            with self._aligned(offset + done, length - done):
                count = os.preadv(self._fd, [view[done:length]], offset + done)
            if not count:
                raise NodeError("The source became smaller during the copy")
            done += count
        return view[:length]

    def write(self, offset: int, data: Data) -> None:
        view, done = self._buffer, 0
        if isinstance(data, memoryview) and isinstance(data.obj, mmap.mmap):
            view = data  # from another device
        else:
            view[: len(data)] = data
        while done < len(data):
            with self._aligned(offset + done, len(data) - done):
                done += os.pwritev(self._fd, [view[done : len(data)]], offset + done)

    @contextlib.contextmanager
    def _aligned(self, offset: int, length: int) -> Iterator[None]:
        """Switch direct I/O off for the end of a file that is not a multiple of a block."""
        if not (offset | length) % 4096:
            yield
            return
        flags = fcntl.fcntl(self._fd, fcntl.F_GETFL)
        fcntl.fcntl(self._fd, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        try:
            yield
        finally:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, flags)

    def zero(self, offset: int, length: int) -> None:
        if self._discards and length > 0:
            self._discards = holes.punch(self._fd, offset, length)
            if self._discards:
                return
        # Thick storage without discard.
        _write_zeros(self, offset, length)

    def sync(self) -> None:
        os.fsync(self._fd)


class _Handle:
    """A handle of this process."""

    def __init__(self, handle: ByteIO) -> None:
        self._handle = handle
        handle.seek(0, os.SEEK_END)
        self.size = handle.tell()

    def blocks(self) -> Iterator[Block]:
        offset = 0
        while offset < self.size:
            length = min(BLOCK, self.size - offset)
            yield offset, length, self.read(offset, length)
            offset += length

    def read(self, offset: int, length: int) -> bytes:
        self._handle.seek(offset)
        data = bytes(self._handle.read(length))
        if len(data) != length:
            raise NodeError("The source became smaller during the copy")
        return data

    def write(self, offset: int, data: Data) -> None:
        self._handle.seek(offset)
        self._handle.write(bytes(data))

    def zero(self, offset: int, length: int) -> None:
        _write_zeros(self, offset, length)

    def sync(self) -> None:
        self._handle.flush()


def _write_zeros(side: _Side, offset: int, length: int) -> None:
    """Write zeros where there is other data."""
    for start in range(offset, offset + length, BLOCK):
        count = min(BLOCK, offset + length - start)
        if side.read(start, count) != _ZEROS[:count]:
            side.write(start, _ZEROS[:count])


def _holes(start: int, end: int) -> Iterator[Block]:
    if start < end:
        yield start, end - start, None
