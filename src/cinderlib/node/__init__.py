"""The node half: connector properties, attach, detach, extend, leftovers.

The only room that imports os_brick, and only when a protocol needs it.
"""

from cinderlib.node.attachment import Attachment
from cinderlib.node.lifecycle import Leftover
from cinderlib.node.node import Node
from cinderlib.node.properties import get_connector_properties

__all__ = ["Attachment", "Leftover", "Node", "get_connector_properties"]
