"""Traces for OpenTelemetry, if the extra ``tracing`` is installed and the option is set.

A request is a span. Its operation, the calls of drivers, the waits for locks and recoveries are
spans within it. Their attributes are names, IDs and outcomes, and never the body of a request,
options of a backend or connection information.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cinderlib import errors
from cinderlib.service.logs import LONGEST
from cinderlib.service.metrics import outcome

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

    from cinderlib.observation import Activity, Observer
    from cinderlib.service.verb_request import Request


class Tracing:
    """Creates the spans.

    :param exporter: receives them; by default it sends them with OTLP over HTTP to the address in
        the environment (``OTEL_EXPORTER_OTLP_ENDPOINT``).
    :raises MissingDependency: the packages are not installed.
    """

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        try:
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            if exporter is None:
                from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

                exporter = OTLPSpanExporter()
        except ImportError as exc:
            raise errors.MissingDependency(
                f"Traces need the Python package {exc.name!r}: install cinderlib[tracing]"
            ) from exc
        defaults = Resource({SERVICE_NAME: "cinderlib"})
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence.
        self._provider = TracerProvider(resource=defaults.merge(Resource.create()))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Tracer = self._provider.get_tracer("cinderlib.service")

    def close(self) -> None:
        """Send the remaining spans."""
        self._provider.shutdown()

    @contextlib.contextmanager
    def request(self, method: str, path: str, headers: Mapping[str, str]) -> Iterator[Span]:
        """The span of a request. It belongs to the trace of the client, if the client sends the
        header ``traceparent`` of the W3C.

        :param path: of the route, such as ``/v1/volumes/{id}``.
        """
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        span = self._tracer.start_span(
            f"{method} {path}",
            context=TraceContextTextMapPropagator().extract(dict(headers)),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": path},
        )
        try:
            yield span
        finally:
            span.end()

    @contextlib.contextmanager
    def operation(self, verb: str, request: Request[Any]) -> Iterator[None]:
        """The span of an operation, in the thread that executes it."""
        from opentelemetry.trace import set_span_in_context

        parent = None if request.span is None else set_span_in_context(request.span)
        with self._span(verb, parent) as span:
            try:
                yield
            finally:
                span.set_attribute("cinderlib.client", str(request.peer))
                for name, value in (("backend", request.backend), ("resource", request.id)):
                    if value:
                        span.set_attribute(f"cinderlib.{name}", value[:LONGEST])

    @contextlib.contextmanager
    def observe(self, activity: Activity) -> Iterator[None]:
        """The span of an activity of the controller."""
        with self._span(f"{activity.kind} {activity.name}", None) as span:
            if activity.backend:
                span.set_attribute("cinderlib.backend", activity.backend)
            yield

    @contextlib.contextmanager
    def _span(self, name: str, parent: Context | None) -> Iterator[Span]:
        """A span with the outcome. The log has the message of an error."""
        from opentelemetry.trace import StatusCode

        error: BaseException | None = None
        with self._tracer.start_as_current_span(
            name, context=parent, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as exc:
                error = exc
                raise
            finally:
                span.set_attribute("cinderlib.outcome", outcome(error))
                if error is not None:
                    span.set_status(StatusCode.ERROR, outcome(error))


def both(first: Observer, second: Observer) -> Observer:
    """An observer that passes each activity on to two others."""

    @contextlib.contextmanager
    def observe(activity: Activity) -> Iterator[None]:
        with first(activity), second(activity):
            yield

    return observe
