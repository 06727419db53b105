"""The HTTP application: from a request to its verb, and from the result to the answer."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as HTTPRoute

from cinderlib import errors
from cinderlib.client import answers
from cinderlib.service import dispatch, logs, responses
from cinderlib.service.backends import Source
from cinderlib.service.bodies import Bodies
from cinderlib.service.calls import Call, Calls
from cinderlib.service.endpoints import Endpoints
from cinderlib.service.metrics import Metrics, Timed
from cinderlib.service.responses import JSON, LINES
from cinderlib.service.roles import Peer, Role
from cinderlib.service.routes import ROUTES, Route
from cinderlib.service.verb_request import Listed, Request

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from cinderlib.service.tracing import Tracing

LOG = logging.getLogger(__name__)


class Application:
    """Answers requests.

    :param backends: the controller and its backends.
    :param threads: how many calls that change something are worked on at once.
    """

    def __init__(self, backends: Source, metrics: Metrics, *, threads: int = 64) -> None:
        self.backends = backends
        self.calls = Calls()
        self._bodies = Bodies()
        self.metrics = metrics
        #: Creates spans, if traces are enabled.
        self.tracing: Tracing | None = None
        # Separate threads for reads: they do not wait for calls that wait for an array.
        self._reading = ThreadPoolExecutor(8, "read")
        self._changing = ThreadPoolExecutor(threads, "change")
        self.endpoints = Endpoints(backends, self.calls, metrics, self._reading)
        endpoints = [(route.method, route.path, self._endpoint(route)) for route in ROUTES]
        self._table = dispatch.Table(endpoints)
        routes = [
            *(HTTPRoute(path, do, methods=[method]) for method, path, do in endpoints),
            *self.endpoints.routes(),
        ]
        #: Method and path of all requests that are answered.
        self.routes = [
            (method, route.path)
            for route in routes
            for method in (route.methods or set()) - {"HEAD"}
        ]
        handlers = {404: _unknown_path, 405: _wrong_method, 500: _failed}
        self._other = Starlette(routes=routes, exception_handlers=handlers)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request (ASGI). Starlette answers requests that are not for a verb."""
        found = self._table.find(scope["method"], scope["path"])
        if found is None:
            await self._other(scope, receive, send)
            return
        endpoint, id = found
        scope["path_params"] = {"id": id}
        try:
            response = await endpoint(HTTPRequest(scope, receive))
        except Exception as exc:
            response = responses.of_error(exc)
        await response(scope, receive, send)

    def close(self) -> None:
        """Wait for the calls that run, and take no more."""
        self._changing.shutdown(wait=True)
        self._reading.shutdown(wait=True)

    # --- the verbs ------------------------------------------------------------------------------

    def _endpoint(self, route: Route) -> Callable[[HTTPRequest], Any]:
        decoder = msgspec.json.Decoder(route.body)

        async def answer(http: HTTPRequest) -> Response:
            if self.tracing is None:
                return await handle(http, None)
            with self.tracing.request(route.method, route.path, http.headers) as span:
                response = await handle(http, span)
                span.set_attribute("http.response.status_code", response.status_code)
                return response

        async def handle(http: HTTPRequest, span: Span | None) -> Response:
            peer = responses.peer(http)
            try:
                peer.require(route.role if _is_stricter(route, peer) else Role.READ)
                body = await self._bodies.read(http, decoder)
                _check_query(http, route)
            except errors.CinderlibError as exc:
                return responses.of_error(exc)
            except ClientDisconnect:
                return Response(status_code=400)
            request = Request(
                self.backends,
                peer,
                str(http.path_params.get("id", "")),
                dict(http.query_params) if http.scope["query_string"] else {},
                body,
                span=span,
            )
            if route.changes:
                return await self._change(http, route, request)
            return await self._read(http, route, request)

        return answer

    async def _read(self, http: HTTPRequest, route: Route, request: Request[Any]) -> Response:
        loop = asyncio.get_running_loop()
        try:
            with self.metrics.timed(route.name, request) as timed:
                result = await loop.run_in_executor(self._reading, self._do, route, request)
        except Exception as exc:
            _log(route, request, timed, exc)
            return responses.of_error(exc, is_logged=True)
        _log(route, request, timed, None)
        if not isinstance(result, Listed):
            return Response(answers.encode(result), media_type=JSON)
        lines = responses.wants_lines(http)
        pages = answers.pages(result.records, lines=lines)
        try:
            # Send the status only after the store has answered once.
            start = await loop.run_in_executor(self._reading, _next_two, pages)
        except Exception as exc:
            return responses.of_error(exc)

        async def stream() -> AsyncIterator[bytes]:
            yield start
            while (
                page := await loop.run_in_executor(self._reading, next, pages, None)
            ) is not None:
                yield page

        return StreamingResponse(stream(), media_type=LINES if lines else JSON)

    async def _change(self, http: HTTPRequest, route: Route, request: Request[Any]) -> Response:
        fingerprint = hashlib.sha256(
            f"{http.method} {http.scope['path']} ".encode()
            + http.scope["query_string"]
            + msgspec.json.encode(request.body)
        ).hexdigest()
        try:
            call, is_new = self.calls.begin(
                route.name,
                request.peer,
                id=http.headers.get("operation-id"),
                fingerprint=fingerprint,
            )
        except errors.CinderlibError as exc:
            return responses.of_error(exc)
        if is_new:
            self._changing.submit(self._run, call, route, request)
        if responses.wants_lines(http):
            return StreamingResponse(
                responses.progress(call), media_type=LINES, headers={"Operation-Id": call.id}
            )
        return await responses.result(call)

    def _do(self, route: Route, request: Request[Any]) -> Any:
        if self.tracing is None:
            return route.verb(request)
        with self.tracing.operation(route.name, request):
            return route.verb(request)

    def _run(self, call: Call, route: Route, request: Request[Any]) -> None:
        with self.metrics.timed(route.name, request) as timed:
            call.run(functools.partial(self._do, route, request))
            if call.error is not None:
                timed.failed(call.error)
        _log(route, request, timed, call.error, call)


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
            operation=operation,
        ),
        error,
    )


def _is_stricter(route: Route, peer: Peer) -> bool:
    # Connections are shown to those who read all, and to the node whose own they are.
    return not (route.method == "GET" and route.role is Role.NODE and peer.role is not Role.NODE)


def _check_query(http: HTTPRequest, route: Route) -> None:
    for name in http.query_params if http.scope["query_string"] else ():
        if name not in route.query:
            known = ", ".join(route.query) or "none"
            raise errors.InvalidInput(f"There is no parameter {name!r}; known: {known}")


def _next_two(pages: Any) -> bytes:
    return next(pages, b"") + next(pages, b"")


async def _unknown_path(http: HTTPRequest, exc: Exception) -> Response:
    return responses.of_error(errors.NotFound(f"There is no {http.url.path} in this service"))


async def _wrong_method(http: HTTPRequest, exc: Exception) -> Response:
    error = errors.InvalidInput(f"{http.url.path} cannot be asked with {http.method}")
    return Response(answers.encode(answers.of_error(error)), 405, media_type=JSON)


async def _failed(http: HTTPRequest, exc: Exception) -> Response:
    return responses.of_error(exc)
