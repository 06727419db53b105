"""The endpoints about the service itself: its state, metrics, and the calls that run."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as HTTPRoute

from cinderlib import errors
from cinderlib.client import answers
from cinderlib.service import openapi, responses
from cinderlib.service.backends import Source
from cinderlib.service.calls import Calls
from cinderlib.service.metrics import Metrics
from cinderlib.service.own_routes import (
    OWN_ROUTES,
    BackendState,
    Health,
    Operation,
    Readiness,
    Status,
)
from cinderlib.service.responses import JSON, LINES
from cinderlib.service.roles import Role


class Endpoints:
    """Answers the requests that are not for a verb.

    :param backends: the controller and its backends.
    :param calls: the calls that run.
    :param reading: the threads that read.
    :ivar configuration: the path of the configuration file.
    :ivar reload: reads the configuration again and applies it.
    """

    def __init__(
        self, backends: Source, calls: Calls, metrics: Metrics, reading: ThreadPoolExecutor
    ) -> None:
        self._backends = backends
        self._calls = calls
        self._metrics = metrics
        self._reading = reading
        self._started_at = time.time()
        self.configuration: str | None = None
        self.reload: Callable[[], None] = lambda: None

    def routes(self) -> list[HTTPRoute]:
        """The routes, for Starlette."""
        answer = {
            "operation.list": self._operations,
            "operation.show": self._operation,
            "service.show": self._service,
            "service.reload": self._reload,
            "service.openapi": self._openapi,
            "service.metrics": self._exposition,
            "service.health": self._health,
            "service.readiness": self._ready,
        }
        return [
            HTTPRoute(route.path, answer[route.name], methods=[route.method])
            for route in OWN_ROUTES
        ]

    async def _operations(self, http: HTTPRequest) -> Response:
        return self._for(http, lambda: [Operation.of(call) for call in self._calls.all()])

    async def _operation(self, http: HTTPRequest) -> Response:
        """A call that runs or has ended; ``?wait=true`` answers as the call itself would."""
        peer = responses.peer(http)
        try:
            if peer.role is None:
                peer.require(Role.READ)
            call = self._calls.get(str(http.path_params["id"]))
            is_caller = call.is_of(peer)
            if not is_caller:
                peer.require(Role.READ)
        except errors.CinderlibError as exc:
            return responses.of_error(exc)
        if http.query_params.get("wait") != "true":
            return Response(answers.encode(Operation.of(call)), media_type=JSON)
        if not is_caller:
            return responses.of_error(
                errors.PermissionDenied("The result of a call is its caller's alone")
            )
        if responses.wants_lines(http):
            return StreamingResponse(responses.progress(call), media_type=LINES)
        return await responses.result(call)

    async def _service(self, http: HTTPRequest) -> Response:
        """What a client has to know of the service, and how the service is."""
        return self._for(http, self._status)

    def _status(self) -> Status:
        return Status(
            version=importlib.metadata.version("cinderlib"),
            pid=os.getpid(),
            started_at=self._started_at,
            configuration=self.configuration,
            backends=list(self._backends.names),
            states=self._states(),
            running=[Operation.of(call) for call in self._calls.running()],
        )

    def _states(self) -> list[BackendState]:
        return [BackendState(**state) for state in self._backends.states()]

    async def _reload(self, http: HTTPRequest) -> Response:
        """Reload the configuration. Not a call, because it waits for the calls that run."""
        loop = asyncio.get_running_loop()
        try:
            responses.peer(http).require(Role.ADMINISTER)
            await loop.run_in_executor(None, self.reload)
        except Exception as exc:
            return responses.of_error(exc)
        status = self._status()
        if responses.wants_lines(http):
            return Response(answers.encode({"result": status}) + b"\n", media_type=LINES)
        return Response(answers.encode(status), media_type=JSON)

    async def _openapi(self, http: HTTPRequest) -> Response:
        return Response(openapi.document(), media_type=JSON)

    async def _exposition(self, http: HTTPRequest) -> Response:
        try:
            responses.peer(http).require(Role.READ)
        except errors.PermissionDenied as exc:
            return responses.of_error(exc)
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(self._reading, self._metrics.exposition)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _health(self, http: HTTPRequest) -> Response:
        return Response(answers.encode(Health()), media_type=JSON)

    async def _ready(self, http: HTTPRequest) -> Response:
        """Whether the store answers. Backends that are not loaded are listed, not errors."""
        loop = asyncio.get_running_loop()
        try:
            states = await loop.run_in_executor(self._reading, self._readiness)
        except Exception as exc:
            return responses.of_error(exc)
        return Response(answers.encode(states), media_type=JSON)

    def _readiness(self) -> Readiness:
        from cinderlib.records import VolumeRecord

        self._backends.controller.store.count(VolumeRecord)
        return Readiness(self._states())

    def _for(self, http: HTTPRequest, make: Callable[[], Any]) -> Response:
        try:
            responses.peer(http).require(Role.READ)
            return Response(answers.encode(make()), media_type=JSON)
        except errors.CinderlibError as exc:
            return responses.of_error(exc)
