"""Answers most requests without a task of the event loop.

A request for a verb with a short body whose answer is one piece needs no coroutine: the event loop
hands it to a thread, which does the verb and encodes the answer, and the event loop writes it. With
many clients at once, the event loop needs half of the processor time of a framework. A thread that
has a connection to itself (:mod:`cinderlib.service.lent_connection`) also reads and writes.
Other requests go through :class:`cinderlib.service.app.Application`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import logging
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from cinderlib import errors
from cinderlib.client import answers
from cinderlib.service import bodies, dispatch, workers
from cinderlib.service.calls import Call
from cinderlib.service.lent_connection import LentConnection
from cinderlib.service.plain_answer import Answer
from cinderlib.service.routes import ROUTES, Route
from cinderlib.service.verb_request import Request

if TYPE_CHECKING:
    from cinderlib.service.backends import Source

LOG = logging.getLogger(__name__)

_LINES = b"application/x-ndjson"


class _Verb(NamedTuple):
    route: Route
    decoder: msgspec.json.Decoder[Any]


class _Work(NamedTuple):
    """A request whose client may send it, and whose body is valid."""

    route: Route
    request: Request[Any]
    target: bytes
    operation: str | None


Send = Callable[[Answer], None]
#: Lends the connection of a request to a thread, if that is possible.
Lend = Callable[[], LentConnection | None]


class Direct:
    """Answers requests.

    :param backends: the controller and its backends.
    :param answered: called for each request.
    """

    def __init__(
        self, backends: Source, at_work: workers.Workers, answered: Callable[[], None]
    ) -> None:
        self._backends = backends
        self._workers = at_work
        self._answered = answered
        self._table = dispatch.Table(
            (route.method, route.path, _Verb(route, msgspec.json.Decoder(route.body)))
            for route in ROUTES
            if not route.is_list
        )
        self._due: collections.deque[Callable[[], None]] = collections.deque()
        self._is_woken = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def accepts(self, scope: Any) -> bool:
        """Whether it answers a request with a body that is not large.

        :param scope: of ASGI.
        """
        if self._workers.tracing is not None:
            return False
        found = self._table.find(scope["method"], scope["path"])
        if found is None or any(n == b"accept" and _LINES in v for n, v in scope["headers"]):
            return False
        scope["verb"] = found
        return True

    def answer(self, scope: Any, body: bytes, send: Send, lend: Lend) -> None:
        """Answer a request that it accepts.

        :param send: called with the answer in the thread of the event loop, unless the connection
            was lent.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        try:
            self._begin(self._work(scope, body), send, lend)
        except Exception as exc:
            send(_of_failure(exc))

    def _work(self, scope: Any, body: bytes) -> _Work:
        """Check a request."""
        self._answered()
        verb, id = scope["verb"]
        route, peer = verb.route, scope["state"]["peer"]
        workers.check_client(route, peer)
        decoded = bodies.decoded(body, verb.decoder)
        query = _query(scope["query_string"])
        workers.check_query(query, route)
        headers = scope["headers"]
        program = _header(headers, b"user-agent") or ""
        request = Request(self._backends, peer, id, query, decoded, program=program)
        target = f"{route.method} {scope['path']} ".encode() + scope["query_string"]
        return _Work(route, request, target, _header(headers, b"operation-id"))

    def _begin(self, work: _Work, send: Send, lend: Lend) -> None:
        route, request = work.route, work.request
        if not route.changes:
            self._workers.reading.submit(self._read, route, request, send)
            return
        call, is_new = self._workers.begin(route, request, work.target, work.operation)
        lent = lend() if is_new else None
        if lent is not None:
            self._workers.submit(self._serve, lent, call, work)
            return
        call.when_done(functools.partial(self._done, call, send))
        if is_new:
            self._workers.submit(self._workers.run, call, route, request)

    # --- in a thread that has the connection ----------------------------------------------------

    def _serve(self, lent: LentConnection, call: Call, work: _Work) -> None:
        """Work on a call and on the requests that follow it on its connection."""
        try:
            self._workers.run(call, work.route, work.request)
            answer: Answer | None = _of_call(call)
            while answer is not None and lent.send(answer):
                received = lent.receive(self._workers.is_idle)
                answer = None if received is None else self._answer_here(*received)
                if received is not None and answer is None:
                    lent.refuse()
        except BaseException as exc:
            lent.give_back(_of_failure(exc))

    def _answer_here(self, scope: Any, body: bytes) -> Answer | None:
        """The answer to a request that this thread works on.

        :returns: ``None`` if the event loop has to answer it.
        """
        if not self.accepts(scope):
            return None
        try:
            work = self._work(scope, body)
            route, request = work.route, work.request
            if not route.changes:
                return Answer(200, answers.encode(self._workers.read(route, request)))
            call, is_new = self._workers.begin(route, request, work.target, work.operation)
        except Exception as exc:
            return _of_failure(exc)
        if not is_new:
            return None
        self._workers.run(call, route, request)
        return _of_call(call)

    # --- for the event loop ---------------------------------------------------------------------

    def _read(self, route: Route, request: Request[Any], send: Send) -> None:
        """In a thread for reads."""
        try:
            answer = Answer(200, answers.encode(self._workers.read(route, request)))
        except Exception as exc:
            answer = _of_error(exc)
        self.soon(functools.partial(send, answer))

    def _done(self, call: Call, send: Send) -> None:
        """In the thread that has worked on the call."""
        self.soon(functools.partial(send, _of_call(call)))

    def soon(self, function: Callable[[], None]) -> None:
        """Call a function in the thread of the event loop. It is woken once for all functions that
        are due."""
        self._due.append(function)
        if not self._is_woken and self._loop is not None:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended; nobody waits
                self._loop.call_soon_threadsafe(self._call_due)

    def _call_due(self) -> None:
        self._is_woken = False
        while self._due:
            self._due.popleft()()


def _of_call(call: Call) -> Answer:
    """The answer to a call that has ended."""
    try:
        if call.error is not None:
            raise call.error
        return Answer(200, answers.encode(call.result), call.id)
    except BaseException as exc:
        return _of_error(exc, call.id)


def _of_failure(error: BaseException) -> Answer:
    """The answer to a request that was not begun."""
    if not isinstance(error, errors.CinderlibError):
        LOG.error("A request failed", exc_info=error)
    return _of_error(error)


def _of_error(error: BaseException, operation: str = "") -> Answer:
    return Answer(answers.status(error), answers.encode(answers.of_error(error)), operation)


def _query(text: bytes) -> dict[str, str]:
    if not text:
        return {}
    return dict(urllib.parse.parse_qsl(text.decode("latin-1"), keep_blank_values=True))


def _header(headers: list[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((v.decode("latin-1") for n, v in headers if n == name), None)
