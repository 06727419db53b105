"""The host that attaches volumes: connector properties, attach, detach, extend, leftovers.

Only this package imports os_brick, and only if a protocol needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cinderlib.node.attachment import Attachment
    from cinderlib.node.interrupted import Leftover
    from cinderlib.node.node import Node
    from cinderlib.node.properties import get_connector_properties
else:
    from cinderlib import first_use

    __getattr__ = first_use.attributes(
        __name__,
        {
            "Attachment": "attachment",
            "Leftover": "interrupted",
            "Node": "node",
            "get_connector_properties": "properties",
        },
    )

__all__ = ["Attachment", "Leftover", "Node", "get_connector_properties"]
