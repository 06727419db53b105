"""Converts the capacity and capabilities that drivers report to one format."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from cinder.common import constants

from cinderlib.errors import ConfigurationError

#: Stats that a driver reports for each pool, or for the backend if it has no pools.
_OF_A_POOL = (
    "total_capacity_gb",
    "free_capacity_gb",
    "allocated_capacity_gb",
    "provisioned_capacity_gb",
    "reserved_percentage",
    "max_over_subscription_ratio",
    "thin_provisioning_support",
    "thick_provisioning_support",
    "QoS_support",
    "multiattach",
    "online_extend_support",
    "consistencygroup_support",
    "consistent_group_snapshot_enabled",
    "filter_function",
    "goodness_function",
    "location_info",
    "total_volumes",
)


def with_pools(stats: Any, backend: str, driver: Any) -> dict[str, Any]:
    """The stats, always with ``pools``, and with the stats that Cinder's manager adds.

    A driver that reports the capacity of the whole backend has one pool with the name of the
    backend. Capacities do not change: a number of GiB, ``'infinite'`` or ``'unknown'``.

    :param stats: stats in plain values; ``None`` from a driver that does not report any.
    :param driver: the driver that reported them.
    :raises ValueError: the driver's report is not valid.
    """
    stats = {} if stats is None else stats
    if not isinstance(stats, dict):
        raise ValueError(
            "the driver returned stats that are not valid: expected a dict, not a"
            f" {type(stats).__name__}"
        )
    stats["volume_backend_name"] = stats.get("volume_backend_name") or backend
    pools = stats.get("pools") or []
    if not isinstance(pools, list) or not all(isinstance(pool, dict) for pool in pools):
        raise ValueError(
            "the driver returned stats that are not valid: 'pools' must be a list of dicts"
        )
    if not pools:
        pool = {key: stats[key] for key in _OF_A_POOL if key in stats}
        pools = stats["pools"] = [{"pool_name": stats["volume_backend_name"], **pool}]
    stats.setdefault("filter_function", driver.get_filter_function())
    stats.setdefault("goodness_function", driver.get_goodness_function())
    for pool in pools:
        pool["pool_name"] = str(pool.get("pool_name") or stats["volume_backend_name"])
        pool.setdefault("total_capacity_gb", "unknown")
        pool.setdefault("free_capacity_gb", "unknown")
        if stats.get("storage_protocol") in constants.CACHEABLE_PROTOCOLS:
            pool.setdefault("cacheable", True)
        pool.update(extra_capabilities(driver.configuration))
    found: dict[str, Any] = stats
    return found


def shares_targets(capabilities: Mapping[str, Any]) -> bool:
    """Whether several volumes share a target, so that devices of other volumes can appear and
    disappear while a host attaches one. Only iSCSI and NVMe-oF share targets, unless the driver
    reports that it does not."""
    if capabilities.get("shared_targets", True) is False:
        return False
    protocol = capabilities.get("storage_protocol")
    return protocol in constants.ISCSI_VARIANTS or protocol in constants.NVMEOF_ALL_PROTOCOLS


def size_limit(pool: dict[str, Any]) -> int | None:
    """The largest possible size of a volume in a pool, in GiB; ``None`` if the pool does not report
    it.

    :param pool: the stats of the pool.
    """
    total, ratio = pool["total_capacity_gb"], 1.0
    if not isinstance(total, int | float) or not 0 < total < math.inf:
        return None  # 'unknown', 'infinite', or 0 from drivers that do not know it
    if pool.get("thin_provisioning_support"):
        try:
            ratio = float(pool.get("max_over_subscription_ratio") or math.inf)
        except ValueError:  # 'auto'
            return None
    return int(min(total * max(ratio, 1.0), sys.maxsize))


def extra_capabilities(configuration: Any) -> dict[str, Any]:
    """The option ``extra_capabilities``: a JSON object.

    :raises ConfigurationError: the option is not a JSON object.
    """
    text = configuration.safe_get("extra_capabilities") or "{}"
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"option 'extra_capabilities' must be a JSON object, not {text!r}",
            resource="extra_capabilities",
        )
    return value
