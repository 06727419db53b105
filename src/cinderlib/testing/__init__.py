"""Conformance suites for drivers and stores.

They use pytest. The author of a driver or store runs them with one short subclass.
"""

import pytest

pytest.register_assert_rewrite("cinderlib.testing.driver", "cinderlib.testing.store")

from cinderlib.testing.driver import DriverConformance  # noqa: E402
from cinderlib.testing.store import StoreConformance  # noqa: E402

__all__ = ["DriverConformance", "StoreConformance"]
