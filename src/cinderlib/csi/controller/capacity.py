"""The capacity of backends."""

from __future__ import annotations

from typing import Any

import cinderlib as cl
from cinderlib.csi import arguments, capabilities
from cinderlib.csi.arguments import GIB
from cinderlib.csi.controller import parameters, topology
from cinderlib.csi.controller.context import Context
from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidInput

#: What a pool without a limit has.
_UNLIMITED = 2**60


def get(context: Context, request: Any) -> Any:
    """GetCapacity: the free space for new volumes with these parameters."""
    given = parameters.of_volume(arguments.text_map(request, "parameters"))
    if request.volume_capabilities:
        try:
            capabilities.of_all(request.volume_capabilities)
        except InvalidInput:
            return m.GetCapacityResponse()
    names = context.backends if given.backend is None else (given.backend,)
    if request.HasField("accessible_topology"):
        segments = dict(request.accessible_topology.segments)
        names = tuple(each for each in names if topology.reaches(context.settings, each, segments))
    free = sum(_free(context.backend(each), given.pool) for each in names)
    return m.GetCapacityResponse(available_capacity=min(free, _UNLIMITED))


def _free(backend: cl.Backend, pool_name: str | None) -> int:
    pools = backend.driver_stats(refresh=True)["pools"]
    if pool_name is None:
        # New volumes without a pool are created in the first one.
        pools = pools[:1]
    else:
        pools = [pool for pool in pools if pool["pool_name"] == pool_name]
    return sum(_bytes(pool.get("free_capacity_gb")) for pool in pools)


def _bytes(free: Any) -> int:
    """:param free: in GiB, or ``'infinite'`` or ``'unknown'``."""
    if free == "infinite":
        return _UNLIMITED
    if isinstance(free, int | float):
        return max(0, int(free * GIB))
    # Unknown: a driver that does not report it can still create volumes.
    return _UNLIMITED
