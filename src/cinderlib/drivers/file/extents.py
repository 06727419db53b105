"""The extents of a file with data, and the ranges in which two files differ.

Files that were cloned with reflinks share their blocks, and the filesystem reports where they are
(FIEMAP). Ranges with the same blocks are equal without a read; only others are compared.
"""

from __future__ import annotations

import bisect
import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

#: Bytes of a file that one answer covers, at most: a comparison must end before a time limit.
REACH = 4 << 30
#: Differences are found in units of this size.
_UNIT = 64 << 10
_BLOCK = 1 << 20
_ZEROS = bytes(_UNIT)

#: The request number of the FIEMAP ioctl: _IOWR('f', 11, struct fiemap).
_FIEMAP = 0xC020660B
_SYNC = 1
_HEADER = struct.Struct("=QQIIII")
_EXTENT = struct.Struct("=QQQ16xI12x")
_COUNT = 512
#: Extents whose data is not, or not alone, in their blocks: unknown, delayed, encoded, not aligned,
#: inline, tail, unwritten.
_NOT_COMPARABLE = 0x2 | 0x4 | 0x8 | 0x100 | 0x200 | 0x400 | 0x800
_LAST = 0x1


class Range(NamedTuple):
    """Bytes of a file from a start to an end."""

    start: int
    end: int


class Mapped(NamedTuple):
    """Bytes of a file and the place of the first one on the device."""

    start: int
    end: int
    place: int


def data(fd: int, start: int, end: int) -> Iterator[Range]:
    """The ranges of a file with data; the bytes of others are zero."""
    while start < end:
        try:
            begin = os.lseek(fd, start, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole follows
            return
        if begin >= end:
            return
        start = os.lseek(fd, begin, os.SEEK_HOLE)
        yield Range(begin, min(start, end))


def changed(before: int, after: int, start: int, end: int) -> Iterator[tuple[Range, bool]]:
    """The ranges in which a file differs from an earlier one.

    :param before: descriptor of the earlier file, which can be shorter.
    :returns: ranges, and whether the later file has data there; otherwise its bytes are zero.
    """
    candidates = _union([*data(before, start, end), *data(after, start, end)])
    for each in _without(candidates, _shared(before, after, start, end)):
        yield from _compared(before, after, each)


def _compared(before: int, after: int, wanted: Range) -> Iterator[tuple[Range, bool]]:
    for place in range(wanted.start, wanted.end, _BLOCK):
        count = min(_BLOCK, wanted.end - place)
        old, new = _read(before, count, place), _read(after, count, place)
        if old == new:
            continue
        for unit in range(0, count, _UNIT):
            one = new[unit : unit + _UNIT]
            if one != old[unit : unit + _UNIT]:
                yield Range(place + unit, place + unit + len(one)), one != _ZEROS[: len(one)]


def _read(fd: int, count: int, place: int) -> bytes:
    """Bytes of a file; zeros after its end."""
    parts = b""
    while len(parts) < count and (part := os.pread(fd, count - len(parts), place + len(parts))):
        parts += part
    return parts.ljust(count, b"\0")


def _shared(one: int, other: int, start: int, end: int) -> list[Range]:
    """The ranges in which two files have the same blocks."""
    first, second = _mapped(one, start, end), _mapped(other, start, end)
    # The filesystem can move blocks meanwhile, and use the old place for others.
    if _mapped(one, start, end) != first:
        return []
    found: list[Range] = []
    starts = [each.start for each in second]
    for mine in first:
        for theirs in second[max(0, bisect.bisect_right(starts, mine.start) - 1) :]:
            if theirs.start >= mine.end:
                break
            begin, stop = max(mine.start, theirs.start), min(mine.end, theirs.end)
            if begin < stop and mine.place - mine.start == theirs.place - theirs.start:
                found.append(Range(begin, stop))
    return found


def _mapped(fd: int, start: int, end: int) -> list[Mapped]:
    """Where the data of a file is; empty if the filesystem does not report it."""
    found: list[Mapped] = []
    while start < end:
        answer = bytearray(_HEADER.size + _COUNT * _EXTENT.size)
        _HEADER.pack_into(answer, 0, start, end - start, _SYNC, 0, _COUNT, 0)
        try:
            fcntl.ioctl(fd, _FIEMAP, answer)
        except OSError:
            return []
        count = _HEADER.unpack_from(answer)[3]
        for index in range(count):
            place = _HEADER.size + index * _EXTENT.size
            logical, physical, length, flags = _EXTENT.unpack_from(answer, place)
            start = logical + length
            if not flags & _NOT_COMPARABLE:
                found.append(Mapped(logical, start, physical))
        if not count or flags & _LAST:
            break
    return found


def _union(ranges: Iterable[Range]) -> list[Range]:
    found: list[Range] = []
    for each in sorted(ranges):
        if found and each.start <= found[-1].end:
            found[-1] = Range(found[-1].start, max(found[-1].end, each.end))
        else:
            found.append(each)
    return found


def _without(ranges: list[Range], excluded: list[Range]) -> Iterator[Range]:
    """The parts of sorted ranges that are not in others, sorted as well."""
    index = 0
    for start, end in ranges:
        while index < len(excluded) and excluded[index].end <= start:
            index += 1
        for out in excluded[index:]:
            if out.start >= end:
                break
            if start < out.start:
                yield Range(start, out.start)
            start = max(start, out.end)
        if start < end:
            yield Range(start, end)
