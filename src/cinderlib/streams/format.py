"""The format of streams: docs/streams.md describes it.

A stream is a magic text and frames. Each frame has a checksum, so that damage is detected before
the volume changes. The last frame has the checksum of the whole stream.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple, Protocol

import msgspec

from cinderlib import errors

MAGIC = b"CINDERLIB STREAM 1\n"
#: The most bytes of data in one frame.
LONGEST = 16 << 20

_FRAME = struct.Struct(">4sQQI")
_HEAD, _DATA, _ZERO, _DONE = b"HEAD", b"DATA", b"ZERO", b"DONE"
_DIGEST_SIZE = hashlib.sha256().digest_size


class Source(Protocol):
    """A binary file or pipe."""

    def read(self, size: int = ..., /) -> bytes: ...


class Header(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a stream contains.

    :ivar point: identifies the content that a volume has after the stream: the ID of the snapshot,
        or a new ID if a volume was exported.
    :ivar since: the point that a volume must have before the stream; ``None`` for a stream with the
        whole content.
    :ivar size: of the volume, in bytes.
    :ivar data_bytes: bytes that can be data, to estimate the progress.
    :ivar volume_id: of the exported volume, for information.
    :ivar created_at: when the stream was created, for information, in ISO 8601.
    """

    point: str
    size: int
    since: str | None = None
    data_bytes: int = 0
    volume_id: str | None = None
    volume_name: str = ""
    created_at: str = ""


class Frame(NamedTuple):
    """A range of a volume.

    :ivar data: its bytes; ``None`` if they are zero.
    """

    offset: int
    length: int
    data: bytes | None


class Writer:
    """Writes a stream.

    :param target: a file or a pipe.
    """

    def __init__(self, target: IO[bytes], header: Header) -> None:
        self._target = target
        self._sha256 = hashlib.sha256()
        self._write(MAGIC)
        document = msgspec.json.encode(header)
        self._frame(_HEAD, 0, len(document), document)

    def data(self, offset: int, data: bytes) -> None:
        """:param data: at most :data:`LONGEST` bytes."""
        self._frame(_DATA, offset, len(data), data)

    def zero(self, offset: int, length: int) -> None:
        """Bytes that are zero."""
        self._frame(_ZERO, offset, length)

    def end(self) -> str:
        """Write the last frame.

        :returns: the SHA-256 checksum of the stream before that frame.
        """
        digest = self._sha256.digest()
        self._frame(_DONE, 0, len(digest), digest)
        return digest.hex()

    def _frame(self, kind: bytes, offset: int, length: int, data: bytes = b"") -> None:
        self._write(_FRAME.pack(kind, offset, length, _checksum(kind, offset, length, data)))
        self._write(data)

    def _write(self, data: bytes) -> None:
        self._sha256.update(data)
        self._target.write(data)


class Reader:
    """Reads a stream.

    :param source: a file or a pipe, at the beginning of the stream.
    :raises InvalidInput: it is not a stream of this format.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sha256 = hashlib.sha256()
        self.sha256 = ""
        if self._read(len(MAGIC)) != MAGIC:
            raise errors.InvalidInput("This is not a stream of a volume, or of a newer version")
        kind, _, _, data = self._frame()
        try:
            if kind != _HEAD:
                raise msgspec.ValidationError("it has no header")
            self.header = msgspec.json.decode(data, type=Header)
            if self.header.size < 0 or not self.header.point:
                raise msgspec.ValidationError("a field of the header is not valid")
        except (msgspec.MsgspecError, UnicodeError) as exc:
            raise errors.InvalidInput(f"This stream is not valid: {exc}") from None

    def frames(self) -> Iterator[Frame]:
        """The ranges of the volume, in the order of their offsets.

        :raises InvalidInput: the stream is damaged or incomplete. Earlier ranges are correct.
        """
        reached = 0
        while True:
            expected = self._sha256.digest()
            kind, offset, length, data = self._frame()
            if kind == _DONE:
                if data != expected:
                    raise errors.InvalidInput("The stream is damaged: its checksum does not match")
                self.sha256 = expected.hex()
                return
            if kind not in (_DATA, _ZERO) or offset < reached or offset + length > self.header.size:
                raise errors.InvalidInput("The stream is not valid: a frame is out of place")
            reached = offset + length
            yield Frame(offset, length, data if kind == _DATA else None)

    def _frame(self) -> tuple[bytes, int, int, bytes]:
        kind, offset, length, checksum = _FRAME.unpack(self._read(_FRAME.size))
        if kind != _ZERO and length > LONGEST:
            raise errors.InvalidInput("The stream is damaged: a frame is too long")
        data = b"" if kind == _ZERO else self._read(length)
        if checksum != _checksum(kind, offset, length, data):
            raise errors.InvalidInput("The stream is damaged: the checksum of a frame is wrong")
        return kind, offset, length, data

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._source.read(count - len(parts))
            if not part:
                raise errors.InvalidInput("The stream is incomplete: it ends too early")
            parts += part
        self._sha256.update(parts)
        return bytes(parts)


def _checksum(kind: bytes, offset: int, length: int, data: bytes) -> int:
    beginning = struct.pack(">4sQQ", kind, offset, length)
    return zlib.crc32(data, zlib.crc32(beginning))
