"""Answers most requests without a task of the event loop.

A request for a verb with a short body whose answer is one piece needs no coroutine: the event loop
hands it to a thread, which does the verb and encodes the answer, and the event loop writes it. With
many clients at once, the event loop needs half of the processor time of a framework.
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
from cinderlib.service.routes import ROUTES, Route
from cinderlib.service.verb_request import Request

if TYPE_CHECKING:
    from cinderlib.service.backends import Source

LOG = logging.getLogger(__name__)

_LINES = b"application/x-ndjson"


class Answer(NamedTuple):
    """A whole answer.

    :ivar operation: the ID of the call, if the request changes something.
    """

    status: int
    body: bytes
    operation: str = ""


class _Verb(NamedTuple):
    route: Route
    decoder: msgspec.json.Decoder[Any]


Send = Callable[[Answer], None]


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

    def answer(self, scope: Any, body: bytes, send: Send) -> None:
        """Answer a request that it accepts.

        :param send: called with the answer in the thread of the event loop.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._answered()
        try:
            verb, id = scope["verb"]
            self._begin(verb, id, scope, body, send)
        except Exception as exc:
            if not isinstance(exc, errors.CinderlibError):
                LOG.error("A request failed", exc_info=exc)
            send(_of_error(exc))

    def _begin(self, verb: _Verb, id: str, scope: Any, body: bytes, send: Send) -> None:
        route, peer = verb.route, scope["state"]["peer"]
        workers.check_client(route, peer)
        decoded = bodies.decoded(body, verb.decoder)
        query = _query(scope["query_string"])
        workers.check_query(query, route)
        request = Request(self._backends, peer, id, query, decoded)
        if not route.changes:
            self._workers.reading.submit(self._read, route, request, send)
            return
        target = f"{route.method} {scope['path']} ".encode() + scope["query_string"]
        call = self._workers.begin(route, request, target, _operation_id(scope["headers"]))
        call.when_done(functools.partial(self._done, call, send))

    def _read(self, route: Route, request: Request[Any], send: Send) -> None:
        """In a thread for reads."""
        try:
            answer = Answer(200, answers.encode(self._workers.read(route, request)))
        except Exception as exc:
            answer = _of_error(exc)
        self._soon(functools.partial(send, answer))

    def _done(self, call: Call, send: Send) -> None:
        """In the thread that has worked on the call."""
        try:
            if call.error is not None:
                raise call.error
            answer = Answer(200, answers.encode(call.result), call.id)
        except BaseException as exc:
            answer = _of_error(exc, call.id)
        self._soon(functools.partial(send, answer))

    def _soon(self, function: Callable[[], None]) -> None:
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


def _of_error(error: BaseException, operation: str = "") -> Answer:
    return Answer(answers.status(error), answers.encode(answers.of_error(error)), operation)


def _query(text: bytes) -> dict[str, str]:
    if not text:
        return {}
    return dict(urllib.parse.parse_qsl(text.decode("latin-1"), keep_blank_values=True))


def _operation_id(headers: list[tuple[bytes, bytes]]) -> str | None:
    return next((v.decode("latin-1") for n, v in headers if n == b"operation-id"), None)
