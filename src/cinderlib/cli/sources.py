"""What the command reads images and streams from: files, block devices, pipes and URLs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

from cinderlib import errors
from cinderlib.progress import Progress
from cinderlib.streams import raw
from cinderlib.streams.download import Download, is_url

if TYPE_CHECKING:
    from cinderlib.streams.format import Source

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class Image:
    """The bytes of an image, which are read once. Their checksums are computed meanwhile.

    :param source: the file, pipe or download.
    :param size: in bytes; ``None`` if unknown.
    :param file: the source if it is a regular file.
    :ivar bytes_read: without those that were only peeked at.
    """

    def __init__(self, source: Source, size: int | None, file: IO[bytes] | None = None) -> None:
        self.size = size
        self.bytes_read = 0
        self._source = source
        self._file = file
        self._start = b""
        self._sha256 = hashlib.sha256()
        self._expected: tuple[str, str] | None = None
        self._other = self._sha256

    def expect(self, checksum: tuple[str, str] | None) -> None:
        """Set the checksum for :meth:`check`, before the first byte is read."""
        self._expected = checksum
        if checksum is not None and checksum[0] != "sha256":
            self._other = hashlib.new(checksum[0])

    @property
    def is_expected(self) -> bool:
        """Whether a checksum is set."""
        return self._expected is not None

    @property
    def sha256(self) -> str:
        """The checksum of the bytes that were read."""
        return self._sha256.hexdigest()

    def peek(self, count: int) -> bytes:
        """The first bytes, which can still be read.

        :param count: how many, if the image is not shorter.
        """
        self._start += raw.read_whole(self._source, count - len(self._start))
        return self._start[:count]

    def read(self, size: int = -1, /) -> bytes:
        """Read bytes, perhaps fewer."""
        if self._start:
            part = self._start if size < 0 else self._start[:size]
            self._start = self._start[len(part) :]
        else:
            part = self._source.read(size)
        self.bytes_read += len(part)
        self._sha256.update(part)
        if self._other is not self._sha256:
            self._other.update(part)
        return part

    def check(self) -> None:
        """Compare the checksum of all bytes.

        :raises InvalidInput: it is another one.
        """
        if self._expected is None:
            return
        algorithm, expected = self._expected
        found = self._other.hexdigest()
        if found != expected:
            name = algorithm.upper().replace("SHA", "SHA-")
            raise errors.InvalidInput(
                f"The {name} checksum of the image is {found}, not {expected}"
            )

    @contextlib.contextmanager
    def on_disk(self, report: Callable[[Progress], None]) -> Iterator[IO[bytes]]:
        """The image as a file: itself, or a temporary copy. All bytes are read for the checksum."""
        with contextlib.ExitStack() as stack:
            file = self._file
            copy: IO[bytes] | None = None
            if file is None or file.tell() != len(self._start):
                file = copy = stack.enter_context(tempfile.TemporaryFile(prefix="cinderlib-"))
            done = 0
            while part := raw.read_whole(self, 1 << 20):
                if copy is not None:
                    copy.write(part)
                done += len(part)
                report(Progress(done, self.size or done, "bytes"))
            file.flush()
            file.seek(0)
            yield file


@contextlib.contextmanager
def opened(file: str) -> Iterator[Image]:
    """Open an image.

    :param file: a path, a URL, or ``-`` for standard input.
    :raises InvalidInput: it cannot be read.
    """
    if is_url(file):
        with Download(file) as download:
            yield Image(download, download.size)
        return
    if _URL.match(file):
        kind = file.partition(":")[0]
        raise errors.InvalidInput(f"Images are read from http and https URLs, not from {kind}")
    if file == "-":
        yield _of(sys.stdin.buffer)
        return
    try:
        found = open(file, "rb")  # noqa: SIM115 (closed below)
    except OSError as exc:
        raise errors.InvalidInput(f"Cannot read {file}: {exc.strerror}") from exc
    with found:
        yield _of(found)


def _of(file: IO[bytes]) -> Image:
    try:
        mode = os.fstat(file.fileno()).st_mode
    except OSError:
        mode = 0
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        return Image(file, None)
    place = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(place)
    return Image(file, end - place, file if stat.S_ISREG(mode) else None)
