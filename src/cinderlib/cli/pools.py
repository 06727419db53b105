"""Pools and their capacity as items of the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cinderlib as cl

_GIB = 1024**3


def items(backend: cl.Backend) -> Iterator[dict[str, Any]]:
    """Query a backend and return its pools, with everything that the driver reports."""
    stats = backend.stats(refresh=True)
    for pool in stats["pools"]:
        yield {
            "backend": backend.id,
            "pool": pool["pool_name"],
            **_capacity(pool),
            "thin": pool.get("thin_provisioning_support"),
            "multiattach": pool.get("multiattach"),
            "protocol": stats.get("storage_protocol"),
            "driver_stats": dict(pool),
        }


def _capacity(pool: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes in bytes; without a value if the driver does not know them, or for an unlimited
    pool."""
    total, free, provisioned = (
        _bytes(pool.get(f"{name}_capacity_gb")) for name in ("total", "free", "provisioned")
    )
    used = None
    if total and free is not None:
        used = round(100 - 100 * free / total, 1)
    return {
        "total_bytes": total,
        "free_bytes": free,
        "used_percent": used,
        "provisioned_bytes": provisioned,
    }


def _bytes(gib: Any) -> int | None:
    # Drivers report texts such as 'infinite' and 'unknown' too.
    return round(gib * _GIB) if isinstance(gib, int | float) else None
