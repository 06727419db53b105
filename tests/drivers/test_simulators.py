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
from cinderlib.testing.driver import CAPABILITIES

pytestmark = pytest.mark.slow

HOST = {
    "host": "host1",
    "ip": "192.0.2.1",
    "initiator": "iqn.1994-05.com.example:host1",
    "wwpns": ["50014380186af83a"],
    "wwnns": ["50014380186af83b"],
    "multipath": False,
    "nqn": "nqn.2014-08.org.nvmexpress:uuid:2d9a4a3c-4e5f-4f0e-9f0b-7a1f4c5d6e7f",
    # LightOS needs these two.
    "found_dsc": "true",
    "host_ips": ["192.0.2.1"],
}
SAN = {"san_ip": "192.0.2.9", "san_login": "user", "san_password": "S3cretPw99"}
#: The operations on existing resources that many drivers do not implement.
NO_LISTS = frozenset({"volume.list_manageable", "snapshot.list_manageable"})
NO_SNAPSHOTS = NO_LISTS | {"snapshot.manage"}
NOTHING = NO_SNAPSHOTS | {"volume.manage"}
#: A simulator gives no device to this host. The driver does not list its volumes completely.
EVERYTHING = CAPABILITIES.keys() - {"attach", "block_device", "read_only", "list", "name_id"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "driver_name" in metafunc.fixturenames:
        metafunc.parametrize("driver_name", metafunc.cls.drivers)


class SimulatedArray(DriverConformance):
    """The suite, with tests that need a simulated array.

    :cvar array: name of the simulator.
    :cvar drivers: short name of a driver -> class in ``array_simulators``.
    :cvar delete: the command with which the driver deletes a volume.
    :cvar cannot: the operations that the driver does not implement.
    :cvar beyond_the_simulator: tests of the suite that the simulator has no answer to, with the
        reason.
    """

    array: ClassVar[str]
    drivers: ClassVar[Mapping[str, str]]
    options: ClassVar[dict[str, Any]]
    delete: ClassVar[str]
    cannot: ClassVar[frozenset[str]] = frozenset()
    beyond_the_simulator: ClassVar[Mapping[str, str]] = {}
    supports = EVERYTHING

    @pytest.fixture(autouse=True)
    def _new_array(
        self,
        request: pytest.FixtureRequest,
        driver_name: str,
        record_property: Callable[[str, Any], None],
    ) -> None:
        assert all(hasattr(self, test) for test in self.beyond_the_simulator)
        if reason := self.beyond_the_simulator.get(request.function.__name__):
            pytest.skip(reason)
        record_property("simulator", names.resolve(driver_name))
        self.driver = f"array_simulators.{self.drivers[driver_name]}"
        simulators = sys.modules.get("array_simulators")
        if simulators is not None:
            simulators.reset()

    def backend_options(self, tmp_path: Path) -> dict[str, Any]:
        return {"volume_driver": self.driver, "enable_unsupported_driver": True, **self.options}

    def connector(self, backend: Any) -> dict[str, Any]:
        return dict(HOST)

    def test_the_driver_reports_what_it_can_do(self, backend: Any) -> None:
        (pool, *_) = backend.stats(refresh=True)["pools"]
        assert bool(pool.get("thin_provisioning_support")) == ("thin" in self.supports)
        reported = backend.capabilities().values()
        # No array has a replication_device.
        cannot = self.cannot | {"backend.failover", "group.replicate"}
        assert {each.operation for each in reported if not each.is_possible} == cannot

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


class TestStorwize(SimulatedArray):
    array = "storwize"
    drivers = {"storwize_iscsi": "StorwizeISCSI", "storwize_fc": "StorwizeFC"}
    delete = "rmvdisk"
    cannot = NO_SNAPSHOTS
    beyond_the_simulator = dict.fromkeys(
        ("test_revert_to_any_snapshot_works_or_changes_nothing", "test_revert_restores_the_data"),
        "the simulator does not know the argument -restore of prestartfcmap",
    )
    options = {
        **SAN,
        "storwize_svc_volpool_name": "openstack,openstack1",
        "storwize_svc_multihostmap_enabled": True,
    }


class TestInStorage(SimulatedArray):
    array = "instorage"
    drivers = {"instorage_iscsi": "InStorageISCSI", "instorage_fc": "InStorageFC"}
    delete = "rmvdisk"
    cannot = NO_SNAPSHOTS | {"volume.multiattach", "volume.revert"}
    beyond_the_simulator = dict.fromkeys(
        ("test_group_changes_and_is_deleted", "test_groups_are_copied_with_their_data"),
        "the simulator keeps the copy mappings of snapshots that are deleted with -force",
    )
    options = {**SAN, "instorage_mcs_volpool_name": "openstack,openstack1"}


class TestACS5000(SimulatedArray):
    array = "acs5000"
    drivers = {"acs5000_iscsi": "ACS5000ISCSI", "acs5000_fc": "ACS5000FC"}
    delete = "delete_volume"
    cannot = NO_SNAPSHOTS | {"volume.multiattach"}
    supports = EVERYTHING - {"thin"}
    beyond_the_simulator = {
        "test_concurrent_threads_do_not_affect_each_other": (
            "the simulator loses clones that are made at the same time"
        )
    }
    options = {**SAN, "acs5000_volpool_name": "pool01,pool02"}

    def reference(self, resource: Any) -> dict[str, Any]:
        """The driver names volumes by the end of their ID."""
        return {"source-name": f"cinder-{resource.name_in_storage[-12:]}"}


class TestLightOS(SimulatedArray):
    array = "lightos"
    drivers = {"lightos": "LightOS"}
    delete = "delete_volume"
    cannot = NOTHING | {"volume.revert"}
    options = {"lightos_api_address": "192.0.2.9", "lightos_jwt": "jwt"}


class TestStorPool(SimulatedArray):
    array = "storpool"
    drivers = {"storpool": "StorPool"}
    cannot = NOTHING
    delete = "volume_delete"
    options = {"storpool_template": "ssd"}


@pytest.mark.core
class TestZadara(SimulatedArray):
    array = "zadara"
    drivers = {"zadara": "Zadara"}
    delete = "DELETE"
    cannot = frozenset({"volume.revert"})
    supports = EVERYTHING - {"thin"}
    options = {
        "zadara_vpsa_host": "192.0.2.9",
        "zadara_vpsa_port": 80,
        "zadara_access_key": "0123456789ABCDEF",
        "zadara_vpsa_poolname": "pool-0001",
    }
