"""The host that attaches volumes: connector properties, attach, detach, extend, leftovers.

Only this package imports os_brick, and only if a protocol needs it.
"""

from cinderlib.node.attachment import Attachment
from cinderlib.node.interrupted import Leftover
from cinderlib.node.node import Node
from cinderlib.node.properties import get_connector_properties

__all__ = ["Attachment", "Leftover", "Node", "get_connector_properties"]
