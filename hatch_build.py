"""The dependencies of the distribution ``cinderlib``, for hatchling."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: ``scripts/build`` sets it: published distributions take cinderlib-node from a package index.
RELEASE = "CINDERLIB_RELEASE"


class CustomMetadataHook(MetadataHookInterface):
    """Adds ``cinderlib-node``: in a source tree the one in ``packages/node``, so that
    ``pip install .`` finds it there."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set ``dependencies``."""
        node = pathlib.Path(self.root, "packages", "node")
        requirement = f"cinderlib-node=={metadata['version']}"
        if node.is_dir() and not os.environ.get(RELEASE):
            requirement = f"cinderlib-node @ {node.as_uri()}"
        metadata["dependencies"] = sorted([*self.config["dependencies"], requirement])
