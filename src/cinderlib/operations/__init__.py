"""All operations that change storage: lock, record the intent, call the driver, record the result.

An operation is a function of records. It reads the current records under the lock, because the
caller's can be stale. It checks its arguments before any change. It returns the stored record, and
whether this call changed it. :mod:`.journal` handles failures and crashes; the function that
recovers an operation follows it in the same module.

``operations.connect.connect(...)`` imports the module at its first use: a program that only reads
the store needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# ruff: noqa: F401
if TYPE_CHECKING:
    import cinderlib.operations.apply_stream
    import cinderlib.operations.attachments
    import cinderlib.operations.capabilities
    import cinderlib.operations.capacity
    import cinderlib.operations.connect
    import cinderlib.operations.copy_group
    import cinderlib.operations.create_volume
    import cinderlib.operations.delete_group
    import cinderlib.operations.delete_group_snapshot
    import cinderlib.operations.delete_volume
    import cinderlib.operations.disconnect
    import cinderlib.operations.encryption
    import cinderlib.operations.exports
    import cinderlib.operations.extend
    import cinderlib.operations.extents
    import cinderlib.operations.failover
    import cinderlib.operations.freeze
    import cinderlib.operations.group_replication
    import cinderlib.operations.group_snapshots
    import cinderlib.operations.groups
    import cinderlib.operations.history_query
    import cinderlib.operations.manage
    import cinderlib.operations.manage_snapshots
    import cinderlib.operations.migrate
    import cinderlib.operations.migrate_in_use
    import cinderlib.operations.reconciliation
    import cinderlib.operations.recovery
    import cinderlib.operations.replication
    import cinderlib.operations.retype
    import cinderlib.operations.revert
    import cinderlib.operations.revert_by_copy
    import cinderlib.operations.snapshot_access
    import cinderlib.operations.snapshots
    import cinderlib.operations.streams
    import cinderlib.operations.temporary
    import cinderlib.operations.unique_names
    import cinderlib.operations.volume_types
    import cinderlib.operations.volumes
    import cinderlib.operations.wipe
else:
    from cinderlib import first_use

    __getattr__ = first_use.attributes(__name__, {})
