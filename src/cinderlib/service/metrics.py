"""Metrics for Prometheus."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cinderlib.errors import CinderlibError
from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.service.backends import Backends
    from cinderlib.service.verb_request import Request

#: Upper bounds of the latency histograms, in seconds: from a read to a copy of a large volume.
BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)

_GIB = 1024**3


class Timed:
    """One operation that is timed.

    :ivar outcome: ``'OK'`` or the error's code.
    """

    def __init__(self) -> None:
        self.outcome = "OK"

    def failed(self, error: BaseException) -> None:
        """Count it as failed."""
        self.outcome = error.code if isinstance(error, CinderlibError) else "INTERNAL"


class Metrics:
    """The service's counters, and gauges that are read from the store for each scrape."""

    def __init__(self, backends: Backends) -> None:
        self.registry = CollectorRegistry()
        labels = ("verb", "backend", "outcome")
        self._operations = Counter(
            "cinderlib_operations", "Operations by outcome", labels, registry=self.registry
        )
        self._seconds = Histogram(
            "cinderlib_operation_seconds",
            "Duration of operations",
            ("verb", "backend"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_State(backends))

    @contextlib.contextmanager
    def timed(self, verb: str, request: Request[Any]) -> Iterator[Timed]:
        """Count and time an operation, for the backend that it has used at its end."""
        timed, start = Timed(), time.perf_counter()
        try:
            yield timed
        except BaseException as exc:
            timed.failed(exc)
            raise
        finally:
            self._operations.labels(verb, request.backend, timed.outcome).inc()
            self._seconds.labels(verb, request.backend).observe(time.perf_counter() - start)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _State(Collector):
    """Gauges from the store and from the drivers' last statistics, without a request to storage."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def collect(self) -> Iterable[Metric]:
        controller = self._backends.controller
        store = controller.store
        for name, kind, text in (
            ("cinderlib_volumes", VolumeRecord, "Volumes in the store"),
            ("cinderlib_intents_open", IntentRecord, "Operations that run or were interrupted"),
        ):
            family = GaugeMetricFamily(name, text, labels=["backend"])
            for backend in self._backends.names:
                family.add_metric([backend], store.count(kind, {"backend": backend}))
            yield family
        yield self._attachments()
        loaded = GaugeMetricFamily("cinderlib_backend_loaded", "1 if loaded", labels=["backend"])
        for state in self._backends.states():
            loaded.add_metric([state["name"]], float(state["loaded"]))
        yield loaded
        yield from self._capacity()

    def _attachments(self) -> Metric:
        family = GaugeMetricFamily(
            "cinderlib_connections", "Connections by state", labels=["backend", "state"]
        )
        for backend in self._backends.names:
            counts = {"mapped": 0, "attached": 0, "attaching": 0, "detaching": 0}
            where = {"backend": backend}
            for record in self._backends.controller.store.iterate(ConnectionRecord, where):
                mapped = record.status == "attached" and not record.device
                state = "mapped" if mapped else record.status
                counts[state] = counts.get(state, 0) + 1
            for state, count in counts.items():
                family.add_metric([backend, state], count)
        return family

    def _capacity(self) -> Iterator[Metric]:
        families = {
            field: GaugeMetricFamily(
                f"cinderlib_pool_{name}_bytes", text, labels=["backend", "pool"]
            )
            for field, name, text in (
                ("total_capacity_gb", "capacity", "Capacity of a pool"),
                ("free_capacity_gb", "free", "Free capacity of a pool"),
                ("provisioned_capacity_gb", "provisioned", "Provisioned capacity of a pool"),
            )
        }
        for name, backend in dict(self._backends.controller.backends).items():
            for pool in backend.stats().get("pools", ()):
                for field, family in families.items():
                    value = pool.get(field)
                    if isinstance(value, int | float):
                        family.add_metric([name, str(pool.get("pool_name", ""))], value * _GIB)
        yield from families.values()
