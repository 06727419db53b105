"""Conformance suites: whether a driver or a store does what this library promises.

They use pytest, and a driver's or store's author uses them in one short subclass.
"""

import pytest

pytest.register_assert_rewrite("cinderlib.testing.driver", "cinderlib.testing.store")

from cinderlib.testing.driver import DriverConformance  # noqa: E402
from cinderlib.testing.store import StoreConformance  # noqa: E402

__all__ = ["DriverConformance", "StoreConformance"]
