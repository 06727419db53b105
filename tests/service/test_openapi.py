"""The OpenAPI document describes every request that the service answers, and the answers."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from service.running import Service

from cinderlib.service import openapi
from cinderlib.service.app import Application
from cinderlib.service.metrics import Metrics

DOCUMENT: dict[str, Any] = json.loads(openapi.document())


def test_every_route_is_in_the_document() -> None:
    application = Application(None, Metrics())  # type: ignore[arg-type]
    described = {(m.upper(), p) for p, methods in DOCUMENT["paths"].items() for m in methods}
    assert set(application.routes) == described
    names = [each["operationId"] for path in DOCUMENT["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))
    application.workers.close()


@pytest.mark.parametrize(
    "path",
    ["/v1/operations", "/v1/operations/{id}", "/v1/service", "/health", "/ready", "/v1/volumes"],
)
def test_answers_have_the_described_form(service: Service, path: str) -> None:
    service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1}, Operation_Id="made")
    status, answer = service.ask("GET", path.replace("{id}", "made"))
    assert status == 200
    described = DOCUMENT["paths"][path]["get"]["responses"]["200"]
    schema = described["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": DOCUMENT["components"]})
