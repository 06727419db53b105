"""Files that several hosts can reach, as on a cluster file system. The hosts are on one machine."""

from __future__ import annotations

from typing import Any

from cinderlib.drivers.file.driver import FileDriver


class ClusterFiles(FileDriver):
    """Accepts the connectors of all hosts."""

    host_limited = False

    def validate_connector(self, connector: dict[str, Any]) -> None:
        """Every host has the file system."""
