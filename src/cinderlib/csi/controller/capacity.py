"""The capacity of backends, and whether they create volumes now."""

from __future__ import annotations

from typing import Any

import cinderlib as cl
from cinderlib.csi import arguments, capabilities
from cinderlib.csi.arguments import GIB
from cinderlib.csi.controller import parameters, topology
from cinderlib.csi.controller.context import Context
from cinderlib.csi.wire import messages as m
from cinderlib.errors import InvalidInput, InvalidState

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


def refuse_unusable(backend: cl.Backend) -> None:
    """Refuse new volumes on a backend that is frozen or has failed over.

    :raises InvalidState: no new volume can be created on it now. Nothing changed.
    """
    state = backend.replication
    if state.is_usable:
        return
    why = "it is frozen"
    if not state.frozen:
        on = f", on {state.active_backend_id!r}" if state.active_backend_id else ""
        why = f"its replication is {state.status!r}{on}"
    raise InvalidState(
        f"Backend {backend.id!r} creates no volumes now: {why}. Call again after"
        f" `cinderlib backend {'thaw' if state.frozen else 'failback'} {backend.id}`, or use"
        " another backend.",
        resource=backend.id,
    )


def _free(backend: cl.Backend, pool_name: str | None) -> int:
    if not backend.replication.is_usable:
        return 0
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
