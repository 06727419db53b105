"""The optional methods of Cinder's driver interface that a driver does not implement."""

from __future__ import annotations

from typing import Any

from cinderlib.drivers import rbd

#: Methods that Cinder's base classes only declare: there they raise an error or have no effect.
OPTIONAL = (
    "create_volume_from_snapshot",
    "create_cloned_volume",
    "extend_volume",
    "create_snapshot",
    "delete_snapshot",
    "revert_to_snapshot",
    "retype",
    "manage_existing",
    "manage_existing_get_size",
    "unmanage",
    "get_manageable_volumes",
    "manage_existing_snapshot",
    "manage_existing_snapshot_get_size",
    "unmanage_snapshot",
    "get_manageable_snapshots",
    "extents",
    "initialize_connection_snapshot",
    "terminate_connection_snapshot",
    "migrate_volume",
    "update_migrated_volume",
    "create_group",
    "update_group",
    "delete_group",
    "create_group_snapshot",
    "delete_group_snapshot",
    "create_group_from_src",
    "failover_host",
    "enable_replication",
    "disable_replication",
    "failover_replication",
)
#: The module of Cinder's base classes.
_BASE = "cinder.volume.driver"


def lacks(driver: Any) -> dict[str, str]:
    """The optional methods that a driver does not implement. It is known from the class, so no call
    of the driver is necessary. A driver can also refuse a call for other reasons.

    :param driver: the driver, or its class.
    :returns: name of the method -> the reason, as a clause.
    """
    kind = driver if isinstance(driver, type) else type(driver)
    found = {}
    for name in OPTIONAL:
        owner = next((each for each in kind.__mro__ if name in vars(each)), None)
        if owner is None and hasattr(driver, name):
            continue  # another object has it, to which the driver forwards calls
        if name == "extents" and rbd.is_rbd(driver):
            continue  # librbd lists them
        # A class can also refer to a method of the base class.
        if owner is None or getattr(vars(owner)[name], "__module__", None) == _BASE:
            found[name] = f"the driver {kind.__name__} does not implement {name}()"
    return found
