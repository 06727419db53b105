"""A connection that a thread answers alone, as long as its client sends one request after another.

With many busy clients, the hand-over of each request from the event loop to a thread, and of each
answer back, takes more processor time than the rest of HTTP. So a thread that has answered a call
waits a moment for the next request of the same client, and works on it.

The event loop does not read from the connection meanwhile. It gets the connection back when the
client pauses, when other calls wait for a thread, and when the service stops. It also gets back
every request that is not short, complete and ordinary, because it limits their size and time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from asyncio.trsock import TransportSocket
from collections.abc import Callable
from typing import Any, NamedTuple

import httptools

from cinderlib.service.bodies import LARGE
from cinderlib.service.plain_answer import Answer
from cinderlib.service.roles import Peer

#: How long a thread waits for the next request, or for a client that does not read: struct timeval.
PAUSE = struct.pack("@ll", 0, 10_000)
#: The longest request that a thread reads, in bytes.
_LONGEST = 2 * LARGE
#: Headers that change the form of a request, or end the connection.
_UNUSUAL = frozenset((b"connection", b"expect", b"transfer-encoding", b"upgrade"))


class Returned(NamedTuple):
    """What the event loop still has to do for a connection.

    :ivar answer: to send; ``None`` if it was sent.
    :ivar unsent: the rest of an answer whose beginning was sent.
    :ivar received: the beginning of the next request.
    """

    answer: Answer | None
    unsent: bytes
    received: bytes


class LentConnection:
    """The connection, for one thread at a time.

    :param connection: its socket. It blocks while a thread has it, so that one call waits for a
        request and reads it.
    :param default_headers: gives the headers of each answer.
    :param is_ending: whether clients should open other connections, because the service stops.
    :param give_back: called once, at the end, in the thread that has the connection.
    :raises OSError: too many files are open.
    """

    def __init__(
        self,
        connection: socket.socket | TransportSocket,
        peer: Peer,
        *,
        default_headers: Callable[[], list[tuple[bytes, bytes]]],
        is_ending: Callable[[], bool],
        give_back: Callable[[Returned], None],
    ) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, PAUSE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, PAUSE)
        self._descriptor = os.dup(connection.fileno())
        os.set_blocking(self._descriptor, True)
        self._peer = peer
        self._default_headers = default_headers
        self._is_ending = is_ending
        self._give_back: Callable[[Returned], None] | None = give_back
        self._message = _Message()
        self._received = b""

    def send(self, answer: Answer) -> bool:
        """Send an answer.

        :returns: whether the thread still has the connection.
        """
        if self._is_ending():
            self.give_back(answer)  # the event loop names the connection's end in the answer
            return False
        data = answer.encoded(self._default_headers())
        try:
            sent = os.write(self._descriptor, data)
        except OSError:
            sent = 0  # the event loop finds out whether the client is slow or has left
        if sent < len(data):
            self.give_back(unsent=data[sent:])
            return False
        return True

    def receive(self, has_time: Callable[[], bool]) -> tuple[dict[str, Any], bytes] | None:
        """The scope (ASGI) and the body of the next request.

        :param has_time: whether the thread can wait for a request, and work on it.
        :returns: ``None`` if the connection was given back.
        """
        data = b""
        if has_time() and not self._is_ending():
            with contextlib.suppress(OSError):  # none has come, or the event loop finds out why
                data = os.read(self._descriptor, _LONGEST)
        if not data or not has_time() or not self._message.is_complete_after(data):
            self.give_back(received=data)
            return None
        self._received = data
        return self._message.scope(self._peer), bytes(self._message.body)

    def refuse(self) -> None:
        """Give the connection back, with the request that was just received."""
        self.give_back(received=self._received)

    def give_back(
        self, answer: Answer | None = None, *, unsent: bytes = b"", received: bytes = b""
    ) -> None:
        """Give the connection back to the event loop, unless that was done."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            os.set_blocking(self._descriptor, False)
            os.close(self._descriptor)
            give_back(Returned(answer, unsent, received))


class _Message:
    """The requests on a connection, one at a time: called by the parser."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._begun = self._ended = 0
        self._is_ordinary = True
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    def is_complete_after(self, data: bytes) -> bool:
        """Whether these bytes are exactly one request, short and ordinary."""
        self._begun = self._ended = 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return (
            self._begun == self._ended == 1
            and self._is_ordinary
            and b"%" not in self._url
            and len(self.body) <= LARGE
            and self._parser.get_http_version() == "1.1"
        )

    def scope(self, peer: Peer) -> dict[str, Any]:
        """What an application needs to know (ASGI)."""
        url = httptools.parse_url(self._url)
        return {
            "method": self._parser.get_method().decode("ascii"),
            "path": url.path.decode("ascii"),
            "query_string": url.query or b"",
            "headers": self._headers,
            "state": {"peer": peer},
        }

    def on_message_begin(self) -> None:
        self._begun += 1
        self._is_ordinary = True
        self._url = b""
        self._headers = []
        self.body = bytearray()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _UNUSUAL and value.lower() != b"keep-alive":
            self._is_ordinary = False
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self._ended += 1
