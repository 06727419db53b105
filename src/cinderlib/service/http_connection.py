"""HTTP of one connection: identifies the client, limits its requests, ends gracefully."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from cinderlib.service.bodies import LARGE
from cinderlib.service.direct import Direct
from cinderlib.service.lent_connection import LentConnection, Returned
from cinderlib.service.plain_answer import Answer
from cinderlib.service.roles import Peer

#: The longest head of a request, in bytes, and how long a client may take to send it, in seconds.
LONGEST_HEAD = 64 * 1024
HEAD_TIMEOUT = 10.0
#: How long a client may take to send the body, in seconds.
BODY_TIMEOUT = 30.0
#: How many requests a client may send before it gets the first answer. Each takes more memory than
#: its text.
PIPELINED = 16
#: Requests after which a connection can be lent to a thread: its client keeps it.
KEPT_AFTER = 2


class Protocol(HttpToolsProtocol):
    """The base of a listener's protocol; see :func:`protocol`.

    :cvar identify: gives the client of a connection.
    :cvar grace: seconds that a client has for its next request before its connection is
        closed; ``None`` as long as connections are kept.
    :cvar direct: answers the requests that it accepts.
    """

    identify: Callable[[asyncio.Transport], Peer]
    grace: Callable[[], float | None]
    direct: Direct

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": type(self).identify(transport)}
        self._head = 0
        self._in_head = True
        #: The request that is answered directly, as soon as its body is complete.
        self._awaited: RequestResponseCycle | None = None
        #: The request whose body is complete, until all received data is parsed.
        self._complete: RequestResponseCycle | None = None
        #: The request that is answered now: the first one, if others are pipelined.
        self._answered: RequestResponseCycle | None = None
        self._count = 0
        self._used_at = self.loop.time()
        self._deadline = self.loop.call_later(HEAD_TIMEOUT, self._too_slow)
        if type(self).grace() is not None:
            # It was accepted just before the listener closed.
            self.shutdown()

    def _limit(self, seconds: float) -> None:
        self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._too_slow)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Data after the end of the head belongs to the body.
        self._head += len(data)
        if self._in_head and self._head > LONGEST_HEAD:
            self._refuse(431, b"Request Header Fields Too Large")
        cycle, self._complete = self._complete, None
        if cycle is not None:
            self._answer(cycle)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED:
            raise ValueError("too many requests without reading answers")  # answered with 400
        # A kept connection has a head for each request.
        self._limit(HEAD_TIMEOUT)
        self._head = 0
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._limit(BODY_TIMEOUT)
        super().on_headers_complete()
        if type(self).grace() is not None:
            # The answer reports the end of the connection, so the client opens another one.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        cycle = self._awaited
        if cycle is not None and len(cycle.body) > LARGE:
            self._awaited = None
            super()._start_asgi_task(cycle, self.app)

    def on_message_complete(self) -> None:
        self._deadline.cancel()
        super().on_message_complete()
        if self._awaited is not None:
            self._complete, self._awaited = self._awaited, None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start to answer a request."""
        self._answered = cycle
        if (
            app is not self.app  # refuses, because there are too many connections
            or cycle.waiting_for_100_continue
            or self.flow.write_paused
            or len(cycle.body) > LARGE
            or not type(self).direct.accepts(cycle.scope)
        ):
            super()._start_asgi_task(cycle, app)
        elif cycle.more_body:
            self._awaited = cycle
        else:
            self._answer(cycle)

    def _answer(self, cycle: RequestResponseCycle) -> None:
        self._count += 1
        send = functools.partial(self._send, cycle)
        lend = functools.partial(self._lend, cycle)
        type(self).direct.answer(cycle.scope, bytes(cycle.body), send, lend)

    def _send(self, cycle: RequestResponseCycle, answer: Answer) -> None:
        """Send a whole answer, as the cycle does for an application."""
        if cycle.disconnected:
            return
        headers = cycle.default_headers
        self._sent(cycle, answer.encoded(headers, keep_alive=cycle.keep_alive))

    def _sent(self, cycle: RequestResponseCycle, data: bytes) -> None:
        """Complete an answer with its last bytes."""
        cycle.response_started = cycle.response_complete = True
        if data:
            self.transport.write(data)
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _lend(self, cycle: RequestResponseCycle) -> LentConnection | None:
        """Lend the connection to a thread, if it is idle apart from this request.

        :returns: ``None`` if the event loop has to send the answer.
        """
        if (
            self._count <= KEPT_AFTER
            or not cycle.keep_alive
            or self.scheme == "https"
            or self.pipeline
            or self._in_head  # of another request
            or type(self).grace() is not None
            or self.transport.is_closing()
            or self.transport.get_write_buffer_size()
        ):
            return None
        returned = functools.partial(self._returned, cycle)
        try:
            lent = LentConnection(
                self.transport.get_extra_info("socket"),
                self.app_state["peer"],
                default_headers=lambda: self.server_state.default_headers,
                is_ending=lambda: type(self).grace() is not None,
                give_back=lambda rest: type(self).direct.soon(functools.partial(returned, rest)),
            )
        except OSError:
            return None
        self.flow.pause_reading()
        return lent

    def _returned(self, cycle: RequestResponseCycle, rest: Returned) -> None:
        """Continue with a connection that a thread had."""
        if cycle.disconnected or self.transport.is_closing():
            return
        # An answer that was sent has not announced the end of the connection.
        cycle.keep_alive = rest.answer is None or type(self).grace() is None
        if rest.answer is not None:
            self._send(cycle, rest.answer)
        else:
            self._sent(cycle, rest.unsent)
        if rest.received and not self.transport.is_closing():
            self.data_received(rest.received)

    def on_response_complete(self) -> None:
        self._used_at = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)
        if self._answered is not None:
            # The base class only knows the last one of pipelined requests.
            self._answered.disconnected = True
            self._answered.message_event.set()

    def shutdown(self) -> None:
        """Close the connection when no request runs, and none has come for as long as the grace.

        A client may be sending its next request at this moment. It gets the answer, which names
        the connection's end.
        """
        if self.transport.is_closing():
            return
        grace = type(self).grace() or 0.0
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.response_started:
                cycle.keep_alive = False
        elif not self._has_begun() and self.loop.time() >= self._used_at + grace:
            self.transport.close()
            return
        self.loop.call_later(max(0.05, grace / 4), self.shutdown)

    def _has_begun(self) -> bool:
        """Whether a part of a head has arrived."""
        return self._in_head and self._head > 0

    def _too_slow(self) -> None:
        self._refuse(408, b"Request Timeout")

    def _refuse(self, status: int, reason: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                % (status, reason)
            )
            self.transport.close()


def protocol(
    identify: Callable[[asyncio.Transport], Peer],
    grace: Callable[[], float | None],
    direct: Direct,
) -> type[Protocol]:
    """The protocol of a listener's connections."""
    namespace: dict[str, Any] = {
        "identify": staticmethod(identify),
        "grace": staticmethod(grace),
        "direct": direct,
    }
    return type("Protocol", (Protocol,), namespace)
