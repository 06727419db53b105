"""The OpenAPI document of the service, from the routes and the types of the bodies."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import msgspec

from cinderlib.records import Secret
from cinderlib.service.own_routes import OWN_ROUTES, OwnRoute
from cinderlib.service.routes import ROUTES, Route


def _secret(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"description": "Hidden, or the keys that the host needs"}
    raise NotImplementedError


class ErrorDetails(msgspec.Struct):
    """What failed, why, and whether a retry can help."""

    code: str
    type: str
    message: str
    retryable: bool
    resource: str | None = None
    notes: list[str] = []
    differences: dict[str, list[Any]] = {}


class ErrorAnswer(msgspec.Struct):
    """The answer of a request that failed."""

    error: ErrorDetails


@functools.cache
def document() -> bytes:
    """The document, as JSON."""
    types = [t for route in ROUTES for t in (route.body, route.answer)]
    types += [*(route.answer for route in OWN_ROUTES), ErrorAnswer]
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_secret, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for number, route in enumerate(ROUTES):
        operation = _operation(route, schemas[2 * number], schemas[2 * number + 1], schemas[-1])
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    for number, own in enumerate(OWN_ROUTES):
        operation = _own_operation(own, schemas[2 * len(ROUTES) + number], schemas[-1])
        paths.setdefault(own.path, {})[own.method.lower()] = operation
    from importlib.metadata import version

    return msgspec.json.format(
        msgspec.json.encode(
            {
                "openapi": "3.1.0",
                "info": {
                    "title": "cinderlib",
                    "version": version("cinderlib"),
                    "description": "Storage arrays through Cinder's volume drivers. Sizes are GiB.",
                    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
                },
                "servers": [{"url": "/"}],
                "paths": paths,
                "components": {"schemas": components},
            }
        ),
        indent=1,
    )


def _operation(route: Route, body: Any, answer: Any, error: Any) -> dict[str, Any]:
    parameters = _parameters(route)
    if route.changes:
        text = "Chosen by the client; sent again with the same ID, the first result is returned"
        parameters.append(_parameter("Operation-Id", "header", text, False))
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": (inspect.getdoc(route.verb) or "").partition("\n\n")[0].replace("\n", " "),
        "description": f"Needs the role `{route.role.value}`.",
        "parameters": parameters,
        "responses": _responses("application/json", answer, error),
    }
    if route.changes:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _own_operation(route: OwnRoute, answer: Any, error: Any) -> dict[str, Any]:
    media_type = "text/plain" if route.answer is str else "application/json"
    needs = "no role" if route.role is None else f"the role `{route.role.value}`"
    return {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Needs {needs}.",
        "parameters": _parameters(route),
        "responses": _responses(media_type, answer, error),
    }


def _parameters(route: Route | OwnRoute) -> list[dict[str, Any]]:
    """The parameters in the path and in the query."""
    found: list[dict[str, Any]] = []
    if "{id}" in route.path:
        found.append(_parameter("id", "path", "ID, or name of a backend or node", True))
    return found + [_parameter(name, "query", text, False) for name, text in route.query.items()]


def _responses(media_type: str, answer: Any, error: Any) -> dict[str, Any]:
    return {
        "200": {"description": "Done", "content": {media_type: {"schema": answer}}},
        "default": {
            "description": "It failed",
            "content": {"application/json": {"schema": error}},
        },
    }


def _parameter(name: str, where: str, text: str, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "description": text,
        "required": required,
        "schema": {"type": "string"},
    }
