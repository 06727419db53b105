"""Failover of Cinder's drivers, against the simulators of arrays in Cinder's own unit tests."""

from __future__ import annotations

from typing import Any

import pytest
from test_simulators import SAN, SimulatedArray, pytest_generate_tests

from cinderlib.testing.driver.replication import ReplicationTests

SECOND = {
    "backend_id": "second",
    "san_ip": "192.0.2.10",
    "san_login": "user",
    "san_password": "S3cretPw99",
    "pool_name": "openstack",
}

__all__ = ["pytest_generate_tests"]

pytestmark = pytest.mark.slow


class ReplicatedArray(ReplicationTests):
    """The tests of the suite that need replication."""

    connector = SimulatedArray.connector
    backend_options = SimulatedArray.backend_options
    supports = SimulatedArray.supports
    delete = ""
    _new_array = SimulatedArray._new_array
    beyond_the_simulator: dict[str, str] = {}


class TestReplicatedStorwize(ReplicatedArray):
    drivers = {"storwize_iscsi": "ReplicatedStorwize"}
    options: dict[str, Any] = {
        **SAN,
        "storwize_svc_volpool_name": "openstack",
        "replication_device": [SECOND],
    }


class TestReplicatedInStorage(ReplicatedArray):
    """Its method for failover does not accept groups."""

    drivers = {"instorage_iscsi": "ReplicatedInStorage"}
    options: dict[str, Any] = {
        **SAN,
        "instorage_mcs_volpool_name": "openstack",
        "replication_device": [SECOND],
    }
