"""The objects, in the module from which programs for cinderlib 5 import them."""

from cinderlib.objects.connection import Connection
from cinderlib.objects.keyvalue import KeyValue
from cinderlib.objects.snapshot import Snapshot
from cinderlib.objects.volume import Volume

__all__ = ["Connection", "KeyValue", "Snapshot", "Volume"]
