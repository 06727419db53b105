"""Chooses the pool for a new volume by the rules of Cinder's scheduler: its filters and weighers.

Only this module's messages are ours; each decision is one of Cinder's classes.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from cinder.scheduler import host_manager, weights
from cinder.scheduler.filters import capabilities_filter, capacity_filter, driver_filter
from cinder.scheduler.weights import capacity, goodness
from oslo_utils import timeutils

from cinderlib.drivers.port_values import Candidate, Request

#: Cinder's default filters without the one for availability zones, and the one for the option
#: ``filter_function``.
_FILTERS = (
    capacity_filter.CapacityFilter(),
    capabilities_filter.CapabilitiesFilter(),
    driver_filter.DriverFilter(),
)


class Scheduler:
    """Places the volumes of a controller. It counts the volumes that it has placed since a backend
    reported its capacity, as Cinder's scheduler does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, tuple[Mapping[str, Any], Any]] = {}
        self._weigh = weights.OrderedHostWeightHandler("cinder.scheduler.weights")

    def place(
        self, candidates: Iterable[Candidate], request: Request
    ) -> tuple[tuple[str, str] | None, dict[str, str]]:
        """The best pool for a volume.

        :returns: the names of the backend and of the pool, or ``None`` if no pool fits; and for
            each refused pool (``backend#pool``) the reason.
        """
        properties = _properties(request)
        with self._lock:
            passed: list[tuple[Any, str]] = []
            reasons: dict[str, str] = {}
            for each in candidates:
                for state in self._pools(each):
                    why = _refusal(state, properties)
                    if why:
                        reasons[f"{each.backend}#{state.pool_name}"] = why
                    else:
                        passed.append((state, each.backend))
            if not passed:
                return None, reasons
            chosen = self._best([state for state, _ in passed], properties)
            chosen.consume_from_volume({"size": request.size}, update_time=False)
        backend = next(backend for state, backend in passed if state is chosen)
        return (backend, chosen.pool_name), reasons

    def _best(self, states: list[Any], properties: dict[str, Any]) -> Any:
        """The pool with the highest weight. Cinder logs a warning for each pool without a goodness
        function, so its weigher is only used if there is one."""
        functions = [state.capabilities.get("goodness_function") for state in states]
        weighers = [capacity.CapacityWeigher]
        if any(each is not None for each in functions):
            weighers.append(goodness.GoodnessWeigher)
        return self._weigh.get_weighed_objects(weighers, states, properties)[0].obj

    def _pools(self, candidate: Candidate) -> list[Any]:
        """The pools of a backend as the scheduler has them."""
        known, state = self._states.get(candidate.backend, (None, None))
        if state is None or known is not candidate.stats:
            stats = copy.deepcopy(dict(candidate.stats))
            stats["timestamp"] = timeutils.utcnow()
            state = host_manager.BackendState(candidate.host, None, stats)
            state.update_from_volume_capability(stats)
            self._states[candidate.backend] = (candidate.stats, state)
        return list(state.pools.values())


def _properties(request: Request) -> dict[str, Any]:
    specs = {"extra_specs": dict(request.extra_specs)}
    if request.multiattach:
        specs["extra_specs"].setdefault("multiattach", "<is> True")
    qos = {key: value for key, value in request.qos_specs.items() if key != "consumer"}
    return {
        "size": request.size,
        "volume_type": specs,
        "resource_type": specs,
        "qos_specs": qos,
        "request_spec": {"volume_properties": {"size": request.size}},
    }


def _refusal(state: Any, properties: Mapping[str, Any]) -> str:
    """Why a pool does not pass a filter; empty if it passes all."""
    for filter in _FILTERS:
        if not filter.backend_passes(state, properties):
            return _EXPLAINED[type(filter)](state, properties)
    return ""


def _capacity(state: Any, properties: Mapping[str, Any]) -> str:
    thin = ""
    if state.thin_provisioning_support:
        thin = (
            f", {_gib(state.provisioned_capacity_gb)} provisioned with max_over_subscription_ratio"
            f" {state.max_over_subscription_ratio}"
        )
    return (
        f"its capacity is too small for {properties['size']} GiB: {_gib(state.free_capacity_gb)} of"
        f" {_gib(state.total_capacity_gb)} free{thin}"
    )


def _gib(size: Any) -> str:
    return f"{size:.1f} GiB" if isinstance(size, int | float) else f"{size} GiB"


def _capabilities(state: Any, properties: Mapping[str, Any]) -> str:
    """Cinder's filter checks each extra spec alone."""
    filter = capabilities_filter.CapabilitiesFilter()
    wanted = properties["resource_type"]["extra_specs"]
    failed = [
        f"{key}={value}"
        for key, value in wanted.items()
        if not filter.backend_passes(
            state, {**properties, "resource_type": {"extra_specs": {key: value}}}
        )
    ]
    return f"it does not report the capabilities for the extra specs {', '.join(failed)}"


def _function(state: Any, properties: Mapping[str, Any]) -> str:
    function = state.capabilities.get("filter_function")
    return f"its filter_function refuses the volume, or Cinder cannot evaluate it: {function}"


_EXPLAINED = {
    capacity_filter.CapacityFilter: _capacity,
    capabilities_filter.CapabilitiesFilter: _capabilities,
    driver_filter.DriverFilter: _function,
}
