"""Metrics for Prometheus: what the service and its controller have done."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

from cinderlib.drivers import observed
from cinderlib.errors import CinderlibError

if TYPE_CHECKING:
    from cinderlib.observation import Activity
    from cinderlib.service.verb_request import Request

#: Upper bounds of the latency histograms, in seconds: from a read to a copy of a large volume.
BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
#: The same for locks: most are free.
LOCK_BUCKETS = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 60.0)


def outcome(error: BaseException | None) -> str:
    """The outcome of a call: ``'OK'``, or the code of the error."""
    if error is None:
        return "OK"
    return error.code if isinstance(error, CinderlibError) else "INTERNAL"


class Timed:
    """One operation that is timed.

    :ivar outcome: ``'OK'`` or the error's code.
    :ivar seconds: its duration, at its end.
    :ivar driver_seconds: the part of it in which the driver worked.
    """

    def __init__(self) -> None:
        self.outcome = "OK"
        self.seconds = 0.0
        self.driver_seconds = 0.0

    def failed(self, error: BaseException) -> None:
        """Count it as failed."""
        self.outcome = outcome(error)


class Metrics:
    """The counters. :meth:`observe` is the observer of the controller.

    :ivar mine: of each thread: ``waited``, the seconds for locks inside the current activity.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.mine = threading.local()
        self._children: dict[tuple[Any, tuple[str, ...]], Any] = {}
        ProcessCollector(registry=self.registry)
        self._operations = Counter(
            "cinderlib_operations",
            "Operations by outcome",
            ("verb", "backend", "outcome"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "cinderlib_operation_seconds",
            "Duration of operations",
            ("verb", "backend"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._running = Gauge(
            "cinderlib_operations_running",
            "Operations that run now",
            ("verb",),
            registry=self.registry,
        )
        self._driver_calls = Counter(
            "cinderlib_driver_calls",
            "Calls of drivers by outcome; DEADLINE_EXCEEDED is a call that was given up",
            ("backend", "method", "outcome"),
            registry=self.registry,
        )
        self._driver_seconds = Histogram(
            "cinderlib_driver_call_seconds",
            "Duration of calls of drivers, without waits for locks",
            ("backend", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._lock_seconds = Histogram(
            "cinderlib_lock_wait_seconds",
            "Time until a lock was held, by kind of resource",
            ("kind",),
            buckets=LOCK_BUCKETS,
            registry=self.registry,
        )
        self._host_starts = Counter(
            "cinderlib_driver_host_starts",
            "Starts of the processes of isolated drivers; a restart follows the end of a process",
            ("backend", "kind"),
            registry=self.registry,
        )
        self._recovered = Counter(
            "cinderlib_recovered_operations",
            "Interrupted operations that were settled",
            ("operation", "backend", "outcome"),
            registry=self.registry,
        )

    def add(self, collector: Collector) -> None:
        """Add metrics that are collected for each scrape."""
        self.registry.register(collector)

    def timed(self, verb: str, request: Request[Any]) -> _Operation:
        """Count and time an operation, for the backend that it has used at its end."""
        return _Operation(self, verb, request)

    def observe(self, activity: Activity) -> _Observed:
        """Count and time an activity of the controller."""
        return _Observed(self, activity)

    def begin(self, verb: str) -> None:
        """Count an operation as running."""
        self._labelled(self._running, verb).inc()

    def end(self, verb: str, backend: str, timed: Timed) -> None:
        """Count an operation that has ended."""
        self._labelled(self._running, verb).dec()
        self._labelled(self._operations, verb, backend, timed.outcome).inc()
        self._labelled(self._seconds, verb, backend).observe(timed.seconds)

    def _labelled(self, metric: Any, *labels: str) -> Any:
        """The metric with these labels. The package's own search for it takes longer."""
        key = metric, labels
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return found

    def count(self, activity: Activity, seconds: float, outcome: str) -> None:
        """Count an activity that has ended.

        :param seconds: its duration, without waits for locks inside it.
        """
        name, backend = activity.name, activity.backend
        match activity.kind:
            case "driver call":
                self._labelled(self._driver_calls, backend, name, outcome).inc()
                self._labelled(self._driver_seconds, backend, name).observe(seconds)
            case "lock":
                self._labelled(self._lock_seconds, name).observe(seconds)
            case "host start":
                self._labelled(self._host_starts, backend, name).inc()
            case "recovery":
                self._labelled(self._recovered, name, backend, outcome).inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class _Operation:
    """A ``with`` statement that times an operation. Generators take longer than the rest of it."""

    __slots__ = ("_driver", "_metrics", "_request", "_start", "_timed", "_verb")

    def __init__(self, metrics: Metrics, verb: str, request: Request[Any]) -> None:
        self._metrics = metrics
        self._verb = verb
        self._request = request
        self._timed = Timed()

    def __enter__(self) -> Timed:
        self._metrics.begin(self._verb)
        self._driver = observed.seconds()
        self._start = time.perf_counter()
        return self._timed

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        timed = self._timed
        timed.seconds = time.perf_counter() - self._start
        timed.driver_seconds = observed.seconds() - self._driver
        if error is not None:
            timed.failed(error)
        self._metrics.end(self._verb, self._request.backend, timed)


class _Observed:
    """The same for an activity."""

    __slots__ = ("_activity", "_before", "_metrics", "_start")

    def __init__(self, metrics: Metrics, activity: Activity) -> None:
        self._metrics = metrics
        self._activity = activity

    def __enter__(self) -> None:
        mine = self._metrics.mine
        self._before, mine.waited = getattr(mine, "waited", 0.0), 0.0
        self._start = time.perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        seconds = time.perf_counter() - self._start
        metrics, activity = self._metrics, self._activity
        waited = metrics.mine.waited
        # A wait for a lock inside the call of a driver is not the driver's share.
        metrics.mine.waited = self._before + (seconds if activity.kind == "lock" else waited)
        metrics.count(activity, max(0.0, seconds - waited), outcome(error))
