"""Drivers of arrays, against the simulators of these arrays in Cinder's own unit tests."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cinderlib import errors
from cinderlib.drivers import names
from cinderlib.testing import DriverConformance

pytestmark = pytest.mark.slow

HOST = {
    "host": "host1",
    "ip": "192.0.2.1",
    "initiator": "iqn.1994-05.com.example:host1",
    "wwpns": ["50014380186af83a"],
    "wwnns": ["50014380186af83b"],
    "multipath": False,
}
SAN = {"san_ip": "192.0.2.9", "san_login": "user", "san_password": "S3cretPw99"}


class SimulatedArray(DriverConformance):
    """What holds for every array beside the suite.

    :cvar array: name of the simulator.
    :cvar driver: class in ``array_simulators`` that uses it.
    :cvar name: short name of the driver.
    :cvar delete: the command with which the driver deletes a volume.
    """

    __test__ = False
    array: ClassVar[str]
    driver: ClassVar[str]
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    delete: ClassVar[str]
    #: Tests of the suite that the simulator cannot answer, with the reason.
    beyond_the_simulator: ClassVar[Mapping[str, str]] = {}
    supports = frozenset({"snapshot", "clone", "independent_copies", "extend"})

    @pytest.fixture(autouse=True)
    def _new_array(
        self, request: pytest.FixtureRequest, record_property: Callable[[str, Any], None]
    ) -> None:
        if reason := self.beyond_the_simulator.get(request.function.__name__):
            pytest.skip(reason)
        record_property("simulator", names.resolve(self.name))
        simulators = sys.modules.get("array_simulators")
        if simulators is not None:
            simulators.reset()

    def backend_options(self, tmp_path: Path) -> dict[str, Any]:
        driver = f"array_simulators.{self.driver}"
        return {"volume_driver": driver, "enable_unsupported_driver": True, **self.options}

    def connector(self, backend: Any) -> dict[str, Any]:
        return dict(HOST)

    def test_delete_that_the_array_refuses_leaves_the_volume_usable(self, backend: Any) -> None:
        volume = backend.create_volume(self.size)
        simulated = sys.modules["array_simulators"].ARRAYS[self.array]
        simulated.refused = self.delete
        with pytest.raises(errors.CinderlibError):
            volume.delete()
        simulated.refused = None
        volume.refresh()
        assert volume.status in ("available", "error_deleting")
        if volume.status == "available":
            volume.disconnect(volume.connect(self.connector(backend)))
            assert volume.create_snapshot().status == "available"
        else:
            volume.delete()
            assert list(backend.volumes) == []


class Storwize(SimulatedArray):
    array = "storwize"
    delete = "rmvdisk"
    supports = SimulatedArray.supports | {"multiattach"}
    beyond_the_simulator = {
        "test_revert_to_any_snapshot_works_or_changes_nothing": (
            "the simulator does not know the argument -restore of prestartfcmap"
        )
    }
    options = {
        **SAN,
        "storwize_svc_volpool_name": "openstack,openstack1",
        "storwize_svc_multihostmap_enabled": True,
    }


class TestStorwizeISCSI(Storwize):
    __test__ = True
    driver = "StorwizeISCSI"
    name = "storwize_iscsi"


class TestStorwizeFC(Storwize):
    __test__ = True
    driver = "StorwizeFC"
    name = "storwize_fc"


class InStorage(SimulatedArray):
    array = "instorage"
    delete = "rmvdisk"
    options = {**SAN, "instorage_mcs_volpool_name": "openstack,openstack1"}


class TestInStorageISCSI(InStorage):
    __test__ = True
    driver = "InStorageISCSI"
    name = "instorage_iscsi"


class TestInStorageFC(InStorage):
    __test__ = True
    driver = "InStorageFC"
    name = "instorage_fc"


class ACS5000(SimulatedArray):
    array = "acs5000"
    delete = "delete_volume"
    beyond_the_simulator = {
        "test_concurrent_threads_do_not_affect_each_other": (
            "the simulator loses clones that are made at the same time"
        )
    }
    options = {**SAN, "acs5000_volpool_name": "pool01,pool02"}


class TestACS5000ISCSI(ACS5000):
    __test__ = True
    driver = "ACS5000ISCSI"
    name = "acs5000_iscsi"


class TestACS5000FC(ACS5000):
    __test__ = True
    driver = "ACS5000FC"
    name = "acs5000_fc"


class TestZadara(SimulatedArray):
    __test__ = True
    array = "zadara"
    delete = "DELETE"
    driver = "Zadara"
    name = "zadara"
    options = {
        "zadara_vpsa_host": "192.0.2.9",
        "zadara_vpsa_port": 80,
        "zadara_access_key": "0123456789ABCDEF",
        "zadara_vpsa_poolname": "pool-0001",
    }
