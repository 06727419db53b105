"""Answers in one piece, as bytes of HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE


class Answer(NamedTuple):
    """A whole answer.

    :ivar operation: the ID of the call, if the request changes something.
    """

    status: int
    body: bytes
    operation: str = ""

    def encoded(
        self, default_headers: Iterable[tuple[bytes, bytes]], *, keep_alive: bool = True
    ) -> bytes:
        """The bytes to send.

        :param default_headers: names and values.
        :param keep_alive: whether the client can use the connection again.
        """
        parts = [STATUS_LINE[self.status]]
        for name, value in default_headers:
            parts += (name, b": ", value, b"\r\n")
        parts.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(self.body))
        if self.operation:
            # An ID that a client has chosen came in a header.
            parts.append(b"operation-id: %s\r\n" % self.operation.encode("latin-1", "replace"))
        if not keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", self.body)
        return b"".join(parts)
