"""The requests about the service itself, and the types of their answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from cinderlib.progress import Progress
from cinderlib.service.calls import Call
from cinderlib.service.roles import Role


class Operation(msgspec.Struct, frozen=True):
    """A call that changes something.

    :ivar state: ``running``, ``done`` or ``failed``.
    :ivar client: user and process, or the name of the certificate.
    :ivar started_at: in seconds since 1970.
    """

    id: str
    verb: str
    state: str
    client: str
    started_at: float
    progress: Progress | None

    @classmethod
    def of(cls, call: Call) -> Operation:
        """A call, without its result."""
        client = str(call.peer)
        return cls(call.id, call.verb, call.state, client, call.started_at, call.progress)


class BackendState(msgspec.Struct, frozen=True):
    """Whether a configured backend is loaded.

    :ivar error: the reason if the last attempt to load it failed.
    """

    name: str
    loaded: bool
    error: str | None
    driver: str | None


class Status(msgspec.Struct, frozen=True):
    """The state of the service.

    :ivar started_at: in seconds since 1970.
    :ivar configuration: the path of the configuration file.
    :ivar backends: the names of the configured backends.
    """

    version: str
    pid: int
    started_at: float
    configuration: str | None
    backends: list[str]
    states: list[BackendState]
    running: list[Operation]


class Health(msgspec.Struct, frozen=True):
    """The process answers."""

    status: str = "ok"


class Readiness(msgspec.Struct, frozen=True):
    """The store answers. Backends that are not loaded are listed, not errors."""

    backends: list[BackendState]
    status: str = "ready"


@dataclasses.dataclass(frozen=True, slots=True)
class OwnRoute:
    """One kind of request about the service.

    :ivar name: the operation in the OpenAPI document.
    :ivar role: the required role; ``None`` for no role.
    :ivar answer: the type of the answer; ``str`` for text.
    :ivar query: the parameters of the query, with their descriptions.
    """

    method: str
    path: str
    name: str
    summary: str
    role: Role | None
    answer: Any
    query: dict[str, str] = dataclasses.field(default_factory=dict)


_WAIT = {"wait": "'true' to wait for its end, and get the answer of the call itself"}

OWN_ROUTES = (
    OwnRoute("GET", "/v1/operations", "operation.list",
             "List the calls that run, and those of the last 15 minutes.",
             Role.READ, list[Operation]),
    OwnRoute("GET", "/v1/operations/{id}", "operation.show",
             "Show a call that runs or has ended. Its client needs no role.",
             Role.READ, Operation, _WAIT),
    OwnRoute("GET", "/v1/service", "service.show",
             "Show the service, the state of each backend, and the running calls.",
             Role.READ, Status),
    OwnRoute("POST", "/v1/service/reload", "service.reload",
             "Reload the configuration, after the calls that run.", Role.ADMINISTER, Status),
    OwnRoute("GET", "/openapi.json", "service.openapi", "Show this document.",
             None, dict[str, Any]),
    OwnRoute("GET", "/metrics", "service.metrics", "Show the metrics for Prometheus.",
             Role.READ, str),
    OwnRoute("GET", "/health", "service.health", "Answer as long as the process does.",
             None, Health),
    OwnRoute("GET", "/ready", "service.readiness",
             "Answer if the store does; lists which backends are loaded, and why one is not.",
             None, Readiness),
)  # fmt: skip
