"""The HTTP application: from a request to its verb, and from the result to the answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as HTTPRoute

from cinderlib import errors
from cinderlib.client import answers
from cinderlib.service import dispatch, responses
from cinderlib.service.backends import Source
from cinderlib.service.bodies import Bodies
from cinderlib.service.endpoints import Endpoints
from cinderlib.service.metrics import Metrics
from cinderlib.service.responses import JSON, LINES
from cinderlib.service.routes import ROUTES, Route
from cinderlib.service.verb_request import Listed, Request
from cinderlib.service.workers import Workers, check_client, check_query

if TYPE_CHECKING:
    from opentelemetry.trace import Span


LOG = logging.getLogger(__name__)


class Application:
    """Answers requests.

    :param backends: the controller and its backends.
    :param threads: how many calls that change something are worked on at once.
    """

    def __init__(self, backends: Source, metrics: Metrics, *, threads: int = 64) -> None:
        self._bodies = Bodies()
        self.metrics = metrics
        self.workers = Workers(metrics, threads)
        self.backends = backends
        self.endpoints = Endpoints(backends, self.workers.calls, metrics, self.workers.reading)
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

    # --- the verbs ------------------------------------------------------------------------------

    def _endpoint(self, route: Route) -> Callable[[HTTPRequest], Any]:
        decoder = msgspec.json.Decoder(route.body)

        async def answer(http: HTTPRequest) -> Response:
            tracing = self.workers.tracing
            if tracing is None:
                return await handle(http, None)
            with tracing.request(route.method, route.path, http.headers) as span:
                response = await handle(http, span)
                span.set_attribute("http.response.status_code", response.status_code)
                return response

        async def handle(http: HTTPRequest, span: Span | None) -> Response:
            peer = responses.peer(http)
            try:
                check_client(route, peer)
                body = await self._bodies.read(http, decoder)
                check_query(http.query_params if http.scope["query_string"] else (), route)
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
                program=http.headers.get("user-agent", ""),
            )
            if route.changes:
                return await self._change(http, route, request)
            return await self._read(http, route, request)

        return answer

    async def _read(self, http: HTTPRequest, route: Route, request: Request[Any]) -> Response:
        loop = asyncio.get_running_loop()
        reading = self.workers.reading
        try:
            result = await loop.run_in_executor(reading, self.workers.read, route, request)
        except Exception as exc:
            return responses.of_error(exc, is_logged=True)
        if not isinstance(result, Listed):
            return Response(answers.encode(result), media_type=JSON)
        lines = responses.wants_lines(http)
        pages = answers.pages(result.records, lines=lines)
        try:
            # Send the status only after the store has answered once.
            start = await loop.run_in_executor(reading, _next_two, pages)
        except Exception as exc:
            return responses.of_error(exc)

        async def stream() -> AsyncIterator[bytes]:
            yield start
            while (page := await loop.run_in_executor(reading, next, pages, None)) is not None:
                yield page

        return StreamingResponse(stream(), media_type=LINES if lines else JSON)

    async def _change(self, http: HTTPRequest, route: Route, request: Request[Any]) -> Response:
        target = f"{http.method} {http.scope['path']} ".encode() + http.scope["query_string"]
        try:
            id = http.headers.get("operation-id")
            call, is_new = self.workers.begin(route, request, target, id)
        except errors.CinderlibError as exc:
            return responses.of_error(exc)
        if is_new:
            self.workers.submit(self.workers.run, call, route, request)
        if responses.wants_lines(http):
            return StreamingResponse(
                responses.progress(call), media_type=LINES, headers={"Operation-Id": call.id}
            )
        return await responses.result(call)


def _next_two(pages: Any) -> bytes:
    return next(pages, b"") + next(pages, b"")


async def _unknown_path(http: HTTPRequest, exc: Exception) -> Response:
    return responses.of_error(errors.NotFound(f"{http.url.path} does not exist in this service"))


async def _wrong_method(http: HTTPRequest, exc: Exception) -> Response:
    error = errors.InvalidInput(f"{http.url.path} cannot be asked with {http.method}")
    return Response(answers.encode(answers.of_error(error)), 405, media_type=JSON)


async def _failed(http: HTTPRequest, exc: Exception) -> Response:
    return responses.of_error(exc)
