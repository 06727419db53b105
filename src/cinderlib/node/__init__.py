"""The node half: connector properties, attach, detach, extend, leftovers.

The only room that imports os_brick, and only when a protocol needs it.
"""

from cinderlib.node.attachment import Attachment
from cinderlib.node.node import Leftover, Node

__all__ = ["Attachment", "Leftover", "Node"]
