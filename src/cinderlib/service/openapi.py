"""The OpenAPI document of the service, from the routes and the types of the bodies."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import msgspec

from cinderlib.records import Secret
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
    types = [t for route in ROUTES for t in (route.body, route.answer)] + [ErrorAnswer]
    schemas, components = msgspec.json.schema_components(
        types, schema_hook=_secret, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for number, route in enumerate(ROUTES):
        operation = _operation(route, schemas[2 * number], schemas[2 * number + 1], schemas[-1])
        paths.setdefault(route.path, {})[route.method.lower()] = operation
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
    parameters: list[dict[str, Any]] = []
    if "{id}" in route.path:
        parameters.append(_parameter("id", "path", "ID, or name of a backend or node", True))
    parameters += [_parameter(name, "query", text, False) for name, text in route.query.items()]
    if route.changes:
        text = "Chosen by the client; sent again with the same ID, the first result is returned"
        parameters.append(_parameter("Operation-Id", "header", text, False))
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": (inspect.getdoc(route.verb) or "").partition("\n\n")[0].replace("\n", " "),
        "description": f"Needs the role `{route.role.value}`.",
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
            "default": {
                "description": "It failed",
                "content": {"application/json": {"schema": error}},
            },
        },
    }
    if route.changes:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return operation


def _parameter(name: str, where: str, text: str, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "description": text,
        "required": required,
        "schema": {"type": "string"},
    }
