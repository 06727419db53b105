"""The threads that work on the requests for verbs."""

from __future__ import annotations

import functools
import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from cinderlib import author, errors
from cinderlib.records import Author
from cinderlib.service import logs
from cinderlib.service.calls import Call, Calls
from cinderlib.service.metrics import Metrics, Timed
from cinderlib.service.roles import Peer, Role
from cinderlib.service.routes import Route
from cinderlib.service.verb_request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cinderlib.service.tracing import Tracing


class Workers:
    """Does the verbs, counts them and logs them.

    :param threads: the number of calls that change something at the same time.
    :ivar tracing: creates spans, if traces are enabled.
    :ivar reading: the threads for reads: they do not wait for calls that wait for an array.
    """

    def __init__(self, metrics: Metrics, threads: int) -> None:
        self.calls = Calls()
        self.tracing: Tracing | None = None
        self.reading = ThreadPoolExecutor(8, "read")
        self._changing = ThreadPoolExecutor(threads, "change")
        self._guard = threading.Lock()
        #: The number of submitted functions that no thread has begun.
        self._waiting = 0
        self._metrics = metrics

    def begin(
        self, route: Route, request: Request[Any], target: bytes, id: str | None
    ) -> tuple[Call, bool]:
        """A new call that changes something, or an earlier one with the same ID.

        :param target: method, path and query.
        :param id: chosen by the client.
        :returns: the call, and whether it is new: then the caller has it run.
        :raises InvalidInput: the ID belongs to another request, or is too long.
        :raises ServiceUnavailable: too many calls run.
        """
        fingerprint = ""
        if id is not None:
            body = msgspec.json.encode(request.body)
            fingerprint = hashlib.sha256(target + body).hexdigest()
        return self.calls.begin(route.name, request.peer, id=id, fingerprint=fingerprint)

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have a thread for calls call a function."""
        with self._guard:
            self._waiting += 1
        self._changing.submit(self._start, function, arguments)

    def _start(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        with self._guard:
            self._waiting -= 1
        function(*arguments)

    def is_idle(self) -> bool:
        """Whether no call waits for a thread."""
        return not self._waiting

    def read(self, route: Route, request: Request[Any]) -> Any:
        """The result of a verb that changes nothing, in this thread."""
        try:
            with self._metrics.timed(route.name, request) as timed:
                result = self._do(route, request)
        except Exception as exc:
            _log(route, request, timed, exc)
            raise
        _log(route, request, timed, None)
        return result

    def close(self) -> None:
        """Wait for the calls that run, and take no more."""
        self._changing.shutdown(wait=True)
        self.reading.shutdown(wait=True)

    def run(self, call: Call, route: Route, request: Request[Any]) -> None:
        """Work on a call in this thread."""
        with self._metrics.timed(route.name, request) as timed:
            call.run(functools.partial(self._do, route, request))
            if call.error is not None:
                timed.failed(call.error)
        _log(route, request, timed, call.error, call)

    def _do(self, route: Route, request: Request[Any]) -> Any:
        with author.acting_for(_author(request)):
            if self.tracing is None:
                return route.verb(request)
            with self.tracing.operation(route.name, request):
                return route.verb(request)


def _author(request: Request[Any]) -> Author:
    """The author of the operations of a request, for the history."""
    peer = request.peer
    return Author(
        user=author.storable(peer.name),
        host=author.storable(peer.host),
        pid=peer.pid or 0,
        program=author.storable(request.program)[: author.LONGEST_PROGRAM],
    )


def check_client(route: Route, peer: Peer) -> None:
    """:raises PermissionDenied: the client may not send such requests."""
    # Connections are shown to those who read all, and to the node whose own they are.
    of_node = route.method == "GET" and route.role is Role.NODE and peer.role is not Role.NODE
    peer.require(Role.READ if of_node else route.role)


def check_query(names: Iterable[str], route: Route) -> None:
    """:raises InvalidInput: the route has no parameter with one of these names."""
    for name in names:
        if name not in route.query:
            known = ", ".join(route.query) or "none"
            raise errors.InvalidInput(f"Unknown parameter {name!r}; known: {known}")


def _log(
    route: Route,
    request: Request[Any],
    timed: Timed,
    error: BaseException | None,
    call: Call | None = None,
) -> None:
    resource, operation = request.id, ""
    if call is not None:
        operation = call.id
        if not resource and isinstance(call.result, dict):
            resource = str(call.result.get("id", ""))  # a new one
    logs.log(
        logs.Call(
            client=str(request.peer),
            verb=route.name,
            resource=resource,
            backend=request.backend,
            outcome=timed.outcome,
            seconds=timed.seconds,
            driver_seconds=timed.driver_seconds,
            operation=operation,
        ),
        error,
    )
