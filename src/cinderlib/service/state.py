"""Metrics that are read for each scrape: the store, the backends, and the pools' last statistics.

No request waits for the storage: an array that does not answer must not hide the other metrics.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cinderlib.records import ConnectionRecord, IntentRecord, VolumeRecord

if TYPE_CHECKING:
    from cinderlib.service.backends import Source

_GIB = 1024**3

#: A field of a pool in GiB -> the name of the metric, and the description.
_CAPACITY = {
    "total_capacity_gb": ("capacity", "Capacity of a pool"),
    "free_capacity_gb": ("free", "Free capacity of a pool"),
    "provisioned_capacity_gb": ("provisioned", "Provisioned capacity of a pool"),
}


class State(Collector):
    """Collects the gauges.

    :param backends: the controller and its backends.
    :param stats_interval: seconds after which a request for the metrics starts to refresh the
        statistics of a backend, without waiting for the storage; 0 disables that.
    """

    def __init__(self, backends: Source, stats_interval: float) -> None:
        self._backends = backends
        self._stats_interval = stats_interval

    def collect(self) -> Iterable[Metric]:
        """The gauges now."""
        yield self._version()
        yield from self._counts()
        yield self._connections()
        yield self._loaded()
        yield from self._pools()

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would otherwise read the store when the service starts."""
        return ()

    def _version(self) -> Metric:
        family = GaugeMetricFamily("cinderlib_info", "Always 1", labels=["version"])
        family.add_metric([importlib.metadata.version("cinderlib")], 1)
        return family

    def _counts(self) -> Iterator[Metric]:
        store = self._backends.controller.store
        for name, kind, text in (
            ("cinderlib_volumes", VolumeRecord, "Volumes in the store"),
            ("cinderlib_intents_open", IntentRecord, "Operations that run or were interrupted"),
        ):
            family = GaugeMetricFamily(name, text, labels=["backend"])
            for backend in self._backends.names:
                family.add_metric([backend], store.count(kind, {"backend": backend}))
            yield family

    def _connections(self) -> Metric:
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

    def _loaded(self) -> Metric:
        family = GaugeMetricFamily(
            "cinderlib_backend_loaded", "1 if the backend is loaded", labels=["backend"]
        )
        for state in self._backends.states():
            family.add_metric([state["name"]], float(state["loaded"]))
        return family

    def _pools(self) -> Iterator[Metric]:
        families = {
            field: GaugeMetricFamily(
                f"cinderlib_pool_{name}_bytes", text, labels=["backend", "pool"]
            )
            for field, (name, text) in _CAPACITY.items()
        }
        age = GaugeMetricFamily(
            "cinderlib_pool_age_seconds", "Age of a pool's statistics", labels=["backend", "pool"]
        )
        for name, backend in dict(self._backends.controller.backends).items():
            if self._stats_interval:
                self._backends.capacities.refresh(name, older_than=self._stats_interval)
            seconds = backend.stats_age
            if seconds is None:
                continue
            for pool in backend.driver_stats().get("pools", ()):
                labels = [name, str(pool.get("pool_name", ""))]
                age.add_metric(labels, seconds)
                for field, family in families.items():
                    value = pool.get(field)
                    if isinstance(value, int | float) and math.isfinite(value):
                        family.add_metric(labels, value * _GIB)
        yield from families.values()
        yield age
