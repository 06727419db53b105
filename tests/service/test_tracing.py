"""Traces: a span for each request, operation, call of a driver and wait for a lock."""

from __future__ import annotations

import asyncio
import json
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from service.running import Service

import cinderlib as cl
from cinderlib.service.app import Application
from cinderlib.service.backends import Backends
from cinderlib.service.metrics import Metrics
from cinderlib.service.roles import Peer, Role
from cinderlib.service.tracing import Tracing, both

pytestmark = pytest.mark.slow

SECRET = "hunter2"
OPERATOR = Peer("operator", Role.ADMINISTER, host="h")
OPTIONS = {"volume_driver": "api.shared_array.SharedArray", "array_password": SECRET}


class Traced:
    """An application with traces in memory."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.exporter = InMemorySpanExporter()
        self._tracing = Tracing(self.exporter)
        metrics = Metrics()
        observer = both(metrics.observe, self._tracing.observe)
        self.controller = cl.Controller(state_path=folder / "state", observer=observer)
        options = {**OPTIONS, "file_root": str(folder / "volumes")}
        backends = Backends(self.controller, ["array"], lambda _: options, folder / "links")
        backends.loaded("array")
        self.application = Application(backends, metrics)
        self.application.workers.tracing = self._tracing

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request. Returns the JSON of the answer."""
        received = bytearray()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "state": {"peer": OPERATOR},
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(body or {}).encode()}

        async def send(message: dict[str, Any]) -> None:
            received.extend(message.get("body", b""))

        asyncio.run(self.application.asgi(scope, receive, send))
        return json.loads(received)

    def spans(self) -> list[Any]:
        """The spans until now, in the order of their ends."""
        assert self._tracing._provider.force_flush()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def traced(tmp_path: pathlib.Path) -> Iterator[Traced]:
    made = Traced(tmp_path)
    yield made
    made.application.workers.close()
    made.controller.close()


def test_a_request_its_operation_and_the_calls_of_the_driver_are_one_trace(traced: Traced) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    volume = traced.ask(
        "POST",
        "/v1/volumes",
        {"backend": "array", "size": 1},
        traceparent=f"00-{trace}-b7ad6b7169203331-01",
    )
    spans = {span.name: span for span in traced.spans()}
    request, operation = spans["POST /v1/volumes"], spans["volume.create"]
    call, lock = spans["driver call create_volume"], spans["lock volume"]
    assert f"{request.context.trace_id:032x}" == trace
    assert operation.parent.span_id == request.context.span_id
    assert call.parent.span_id == operation.context.span_id
    assert lock.parent.span_id == operation.context.span_id
    assert request.attributes["http.response.status_code"] == 200
    assert operation.attributes["cinderlib.backend"] == "array"
    assert operation.attributes["cinderlib.outcome"] == "OK"
    traced.ask("GET", f"/v1/volumes/{volume['id']}")
    assert traced.spans()[-1].name == "GET /v1/volumes/{id}"


def test_an_error_is_the_code_without_its_message(traced: Traced) -> None:
    traced.ask("POST", "/v1/volumes/none/extend", {"size": 2})
    span = next(span for span in traced.spans() if span.name == "volume.extend")
    assert span.attributes["cinderlib.outcome"] == "NOT_FOUND"
    assert not span.status.is_ok
    assert not span.events


def test_no_secret_is_in_a_span(traced: Traced) -> None:
    volume = traced.ask("POST", "/v1/volumes", {"backend": "array", "size": 1})
    connector = {"host": "h", "initiator": "iqn.2026-11.org.example:h", "ip": "192.0.2.1"}
    path = f"/v1/volumes/{volume['id']}/connect"
    answer = traced.ask("POST", path, {"connector": connector, "attached_host": "h"})
    secrets = [SECRET, *_passwords(answer)]
    text = "\n".join(span.to_json() for span in traced.spans())
    assert "volume.connect" in text
    assert not [secret for secret in secrets if secret in text]


def _passwords(answer: Any) -> Iterator[str]:
    if isinstance(answer, dict):
        for name, value in answer.items():
            if "password" in name and isinstance(value, str):
                yield value
            yield from _passwords(value)


def test_the_service_sends_traces_only_if_the_option_is_set(folder: pathlib.Path) -> None:
    """To a collector of OpenTelemetry, whose address is in the environment."""
    got: list[bytes] = []
    arrived = threading.Event()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, format: str, *args: object) -> None:
            """Do not write to standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            for option in ("", "traces = true"):
                service = Service(folder, service=option)
                url = f"http://127.0.0.1:{server.server_address[1]}"
                service.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
                with service.start():
                    service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1})
                    assert service.stop() == 0
                assert bool(got) is bool(option)
            assert arrived.wait(60)
        finally:
            server.shutdown()
            thread.join()
    assert any(b"volume.create" in each for each in got)


def test_without_the_option_opentelemetry_is_not_imported() -> None:
    program = (
        "import sys, cinderlib.service.app, cinderlib.service.server\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
