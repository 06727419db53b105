"""The objects, under the module name that programs for cinderlib 5 import."""

from cinderlib.connection import Connection
from cinderlib.keyvalue import KeyValue
from cinderlib.snapshot import Snapshot
from cinderlib.volume import Volume

__all__ = ["Connection", "KeyValue", "Snapshot", "Volume"]
