"""A driver whose process is killed during a call."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

from array_driver import ArrayDriver

#: The name of the folder of the second backend, in the folder of the first one.
OTHER = "other"


def _dying(name: str) -> Callable[..., Any]:
    work = getattr(ArrayDriver, name)

    def call(self: DyingDriver, *args: Any, **kwargs: Any) -> Any:
        self.die("before")
        answer = work(self, *args, **kwargs)
        self.die("after")
        return answer

    return call


class DyingDriver(ArrayDriver):
    """Kills its process ``before`` or ``after`` the work of the next call, as specified in the file
    ``<folder>-death``."""

    def die(self, when: str) -> None:
        root = pathlib.Path(self.configuration.safe_get("file_root"))
        order = root.with_name(f"{root.name}-death")
        if root.name == OTHER:
            order = root.parent.with_name(f"{root.parent.name}-death")
        if order.exists() and order.read_text() == when:
            order.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


for _name in (
    *("create_volume", "create_volume_from_snapshot", "create_cloned_volume", "delete_volume"),
    *("retype", "extend_volume", "create_snapshot", "delete_snapshot", "revert_to_snapshot"),
    *("validate_connector", "create_export", "ensure_export", "initialize_connection"),
    *("terminate_connection", "remove_export", "get_volume_stats", "exists_in_storage"),
    *("create_export_snapshot", "initialize_connection_snapshot"),
    *("terminate_connection_snapshot", "remove_export_snapshot"),
    *("migrate_volume", "update_migrated_volume"),
    *("manage_existing_get_size", "manage_existing", "unmanage"),
    *("manage_existing_snapshot_get_size", "manage_existing_snapshot", "unmanage_snapshot"),
):
    setattr(DyingDriver, _name, _dying(_name))
