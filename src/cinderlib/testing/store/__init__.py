"""The conformance suite for metadata stores, which tests the contract of
:class:`cinderlib.persistence.base.Store`.

The author of a store runs it with a few lines::

    from cinderlib.testing.store import StoreConformance

    class TestMyStore(StoreConformance):
        supports = frozenset({"atomic", "durable", "shared"})

        def make_store(self, place):
            return MyStore(folder=place)
"""

from cinderlib.testing.store.base import CAPABILITIES
from cinderlib.testing.store.concurrency import ConcurrencyTests, in_threads, increment
from cinderlib.testing.store.samples import volume
from cinderlib.testing.store.searching import SearchTests
from cinderlib.testing.store.single_records import SingleRecordTests
from cinderlib.testing.store.versions import VersionTests

__all__ = ["CAPABILITIES", "StoreConformance", "in_threads", "increment", "volume"]


class StoreConformance(SingleRecordTests, VersionTests, SearchTests, ConcurrencyTests):
    """The suite. Give the subclass a name that pytest collects."""
