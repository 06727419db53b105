"""The options of backends and of the process."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cinderlib import drivers, errors
from cinderlib.drivers import port_values, requirements
from cinderlib.persistence.base import Put
from cinderlib.persistence.memory import MemoryStore
from cinderlib.records import VolumeRecord, new_id


def test_numbers_and_booleans_can_be_strings(load: Callable[..., Any]) -> None:
    port = load(
        asking_port="3261", asking_thin="yes", asking_pools="a,b", use_multipath_for_image_xfer="1"
    )
    assert port.info.options["asking_port"] == 3261
    assert port.info.options["asking_thin"] is True
    assert port.info.options["asking_pools"] == ["a", "b"]
    assert port.info.multipath is True
    assert port.info.version == "1.2.3"
    assert port._driver.configuration.asking_port == 3261


def test_references_to_other_options(load: Callable[..., Any]) -> None:
    from oslo_config import cfg

    port = load(
        "west",
        asking_host="$my_ip:${backend_defaults.asking_port}",
        asking_port=99,
        asking_pools=["${backend_defaults.volume_backend_name}-pool", "$5 and $nothing"],
    )
    configuration = port._driver.configuration
    assert configuration.asking_host == f"{cfg.CONF.my_ip}:99"
    assert configuration.asking_pools == ["west-pool", "$5 and $nothing"]


@pytest.mark.parametrize("password", ["pa$$word", "$my_ip", r"a\$b", "${state_path}", "$"])
def test_a_password_is_used_unchanged_and_kept_secret(
    load: Callable[..., Any], password: str
) -> None:
    port = load(asking_password=password)
    assert port._driver.configuration.asking_password == password
    assert port.info.secrets == {"asking_password": password}
    assert "secrets" not in repr(port.info)
    assert "asking_password" not in port.info.options


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("asking_prot", 1, "did you mean 'asking_port'"),
        ("asking_port", "http", r"'asking_port' is 'http', expected .* port"),
        ("asking_limit", 12, r"'asking_limit' is 12, .* from 1 to 9"),
        ("asking_mode", "three", r"'asking_mode' is 'three', expected one of 'one', 'two'"),
        ("asking_thin", "perhaps", r"'asking_thin' is 'perhaps', expected .* bool"),
        ("extra_capabilities", "{", "JSON object"),
    ],
)
def test_a_misspelt_option_is_refused_with_a_suggestion(
    load: Callable[..., Any], option: str, value: Any, said: str
) -> None:
    with pytest.raises(errors.ConfigurationError, match=said):
        load(**{option: value}).stats()


def test_an_unknown_option_is_a_warning_without_strict_options(
    load: Callable[..., Any], settings: drivers.Settings, caplog: pytest.LogCaptureFixture
) -> None:
    lenient = dataclasses.replace(settings, strict_options=False)
    with caplog.at_level(logging.WARNING, logger="cinderlib"):
        load(settings=lenient, asking_prot=1)
    assert "did you mean 'asking_port'" in caplog.text


def test_a_renamed_option_is_known_by_its_old_name(load: Callable[..., Any]) -> None:
    assert load(asking_old_limit=3).info.options["asking_limit"] == 3


@pytest.mark.parametrize(
    ("driver", "option", "value"),
    [
        ("jovian", "san_hosts", ["192.0.2.1"]),
        ("sandstone", "sandstone_pool", "p"),
        ("datera", "datera_tenant_id", "/root"),
        ("instorage_iscsi", "instorage_mcs_iscsi_chap_enabled", False),
        ("as13000", "as13000_meta_pool", "p"),
        ("netapp_iscsi", "netapp_lun_space_reservation", "enabled"),
    ],
)
def test_options_are_known_from_every_place_of_registration(
    settings: drivers.Settings, driver: str, option: str, value: Any
) -> None:
    drivers.check("b", {"volume_driver": driver, option: value}, settings=settings)


def test_options_of_another_loaded_driver_are_unknown(
    settings: drivers.Settings, tmp_path: Path
) -> None:
    drivers.check("s", {"volume_driver": "solidfire", "sf_api_port": 443}, settings=settings)
    given = {"volume_driver": "file", "file_root": str(tmp_path), "sf_api_port": 443}
    with pytest.raises(errors.ConfigurationError, match="'sf_api_port'"):
        drivers.check("f", given, settings=settings)


@pytest.mark.parametrize("word", ["pure", "dell", "powermax"])
def test_a_vendor_name_suggests_its_drivers(load: Callable[..., Any], word: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=rf"drivers for it: .*driver list {word}"):
        load(volume_driver=word)


def test_a_missing_package_is_reported_only_if_it_is_the_cause(
    load: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = port_values.Lacks(packages=("py-pure-client",), commands=("mount.nfs",))
    monkeypatch.setattr(requirements, "missing", lambda driver_class: lacks)
    with pytest.raises(errors.DriverError, match=r"lacks .*py-pure-client.*cannot log in"):
        load(asking_host="nowhere", asking_password="hunter2")
    for said, named in {
        "'NoneType' object has no attribute 'Client'": ("py-pure-client",),
        "please install py-pure-client": ("py-pure-client",),
        "No module named 'pypureclient'": ("py-pure-client",),
        "mount.nfs is not installed": ("mount.nfs",),
        "umount.nfs4 failed": (),
    }.items():
        found = requirements.named_by(lacks, RuntimeError(said))
        assert (*found.packages, *found.commands) == named, said


def test_the_same_name_loaded_again_does_not_change_the_first(load: Callable[..., Any]) -> None:
    first = load("same", asking_port=1)
    second = load("same", asking_port=2)
    ports = [port._driver.configuration.asking_port for port in (first, second)]
    assert ports == [1, 2]
    second.close()
    assert first._driver.configuration.asking_port == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("lvmm", "did you mean 'lvm'"),
        ("netpp", "did you mean 'netapp'"),
        ("cinder.volume.drivers.lvm.LVM", "does not contain a volume driver 'LVM'"),
        ("cinder.volume.drivers.lmv.LVMVolumeDriver", "does not exist"),
        ("NexentaISCSIDriver", "several drivers"),
        ("asking_driver.configuration", "not a Cinder volume driver"),
        ("", "must be the class or the short name"),
    ],
)
def test_an_unknown_driver(load: Callable[..., Any], name: str, said: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=said):
        load(volume_driver=name)


def test_an_unsupported_driver_is_refused_by_default(
    load: Callable[..., Any],
) -> None:
    retired = "asking_driver.RetiredDriver"
    with pytest.raises(errors.ConfigurationError, match="enable_unsupported_driver=True"):
        load(volume_driver=retired)
    port = load(volume_driver=retired, enable_unsupported_driver=True)
    assert port.info.supported is False


def test_a_failed_set_up_leaves_no_driver_and_shows_no_secret(
    load: Callable[..., Any],
) -> None:
    from cinderlib.drivers import scope

    with pytest.raises(errors.DriverError, match="cannot log in") as caught:
        load(asking_host="nowhere", asking_password="hunter2")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None, "the driver's own error has the password in it"
    assert scope.loaded() == []


def test_an_option_of_a_module_that_is_loaded_later_is_known(load: Callable[..., Any]) -> None:
    with pytest.raises(errors.DriverError, match=r"127\.0\.0\.1"):
        load(volume_driver="spdk", spdk_rpc_ip="127.0.0.1", spdk_rpc_port=1)


def test_a_driver_that_looks_for_its_backend_by_name_finds_it(
    load: Callable[..., Any], store: MemoryStore
) -> None:
    """Cinder's own function searches for a section of a configuration file."""
    from cinder import exception
    from cinder.volume import volume_utils

    found: dict[str, Any] = {}

    def ask(driver: Any, made: Any) -> None:
        for name in ("one", "two", "hidden"):
            try:
                found[name] = volume_utils.get_backend_configuration(name).asking_port
            except exception.ConfigNotFound:
                found[name] = None

    one = load("one", asking_port=1)
    load("two", asking_port=2)
    load("hidden", asking_port=3, store=MemoryStore())
    one._driver.job = ask
    record = VolumeRecord(id=new_id(), backend="one", size=1, host="controller@one#p")
    one.create_volume(store.apply(Put(record))[0])
    assert found == {"one": 1, "two": 2, "hidden": None}


def test_process_wide_options_are_checked_and_wait_for_loaded_drivers(
    load: Callable[..., Any], settings: drivers.Settings
) -> None:
    from oslo_config import cfg

    def changed(**options: Any) -> drivers.Settings:
        return dataclasses.replace(settings, cinder_options=options)

    with pytest.raises(errors.ConfigurationError, match="did you mean 'my_ip'"):
        drivers.prepare(changed(my_pi="192.0.2.1"))
    with pytest.raises(errors.ConfigurationError, match="'num_shell_tries' is 'x'"):
        drivers.prepare(changed(my_ip="192.0.2.1", num_shell_tries="x"))
    before = cfg.CONF.my_ip
    assert before != "192.0.2.1"

    load("here")
    with pytest.raises(errors.ConfigurationError, match=r"'here'.*my_ip='192.0.2.1'"):
        drivers.prepare(changed(my_ip="192.0.2.1"))
    secret = {"coordination": {"backend_url": "redis://:hunter2@192.0.2.1"}}
    with pytest.raises(errors.ConfigurationError, match=r"coordination=\{backend_url\}") as caught:
        drivers.prepare(changed(**secret))
    assert "hunter2" not in str(caught.value)
    drivers.prepare(settings)


def test_process_wide_options_reach_drivers_and_end_with_the_settings(
    settings: drivers.Settings,
) -> None:
    from oslo_config import cfg

    options = {
        "my_ip": "192.0.2.1",
        "debug": "true",
        "volume_clear": "none",
        "ssh_hosts_key_file": "$state_path/known",
        "coordination": {"backend_url": "file:///$state_path/elsewhere"},
    }
    drivers.prepare(dataclasses.replace(settings, cinder_options=options))
    assert cfg.CONF.my_ip == "192.0.2.1"
    assert cfg.CONF.debug is True
    assert cfg.CONF.backend_defaults.volume_clear == "none"
    assert cfg.CONF.ssh_hosts_key_file == f"{settings.state_path}/known"
    drivers.prepare(settings)
    assert cfg.CONF.my_ip != "192.0.2.1"
    assert cfg.CONF.backend_defaults.volume_clear == "zero"


def test_drivers_loaded_in_parallel_have_their_own_options_and_stores(
    load: Callable[..., Any], settings: drivers.Settings
) -> None:
    stores = MemoryStore(), MemoryStore()
    seen: list[tuple[str, list[str], list[str]]] = []
    start = threading.Barrier(8)

    def ask(driver: Any, made: Any) -> None:
        from cinder import context, objects

        found = objects.VolumeList.get_all_by_host(context.get_admin_context(), driver.host)
        asked = [each.id for each in found]
        seen.append((driver.configuration.asking_host, asked, [made.id]))

    def work(thread: int) -> None:
        start.wait()
        for number in range(4):
            name = f"backend-{thread}-{number}"
            store = stores[number % 2]
            port = load(name, store=store, asking_host=f"host-{name}", asking_port=1000 + thread)
            port._driver.job = ask
            (given,) = store.apply(
                Put(VolumeRecord(id=new_id(), backend=name, size=1, host=f"controller@{name}#p"))
            )
            port.create_volume(given)
            assert port._driver.configuration.asking_host == f"host-{name}"
            assert port._driver.configuration.asking_port == 1000 + thread

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, thread) for thread in range(8)]:
            done.result()
    assert len(seen) == 32
    assert all(asked == own for _, asked, own in seen)
    assert len({host for host, _, _ in seen}) == 32
    assert [store.count(VolumeRecord) for store in stores] == [16, 16]


@pytest.mark.parametrize(
    ("option", "value", "taken"),
    [
        ("driver_use_ssl", 1, True),
        ("driver_use_ssl", 0, False),
        ("driver_use_ssl", False, False),
        ("asking_pools", 5, ["5"]),
        ("asking_host", 5, "5"),
        ("replication_device", "backend_id:two,a:b", [{"backend_id": "two", "a": "b"}]),
        ("replication_device", {"backend_id": "two"}, [{"backend_id": "two"}]),
        ("replication_device", ["backend_id:two"], [{"backend_id": "two"}]),
    ],
)
def test_values_have_the_same_meaning_as_in_a_file(
    load: Callable[..., Any], option: str, value: object, taken: object
) -> None:
    assert getattr(load(**{option: value})._driver.configuration, option) == taken


WRONG = [
    object(),
    b"x",
    [None],
    {1: 2},
    {"a": object()},
    "\0",
    "\ud800",
    2**70,
    -1,
    float("nan"),
    [],
]


@pytest.mark.parametrize(
    "option",
    ["asking_port", "asking_thin", "asking_pools", "asking_host", "driver_use_ssl",
     "replication_device", "reserved_percentage", "extra_capabilities", "backend_host"],
)  # fmt: skip
def test_invalid_values_raise_only_our_errors(load: Callable[..., Any], option: str) -> None:
    for value in WRONG:
        with contextlib.suppress(errors.CinderlibError):
            load(**{option: value})


def test_text_in_a_command_is_not_imported(load: Callable[..., Any]) -> None:
    import sys

    before = set(sys.modules)
    for option in ("backup_workers", "backend_host_x", "hosts", "main"):
        with pytest.raises(errors.ConfigurationError):
            load(**{option: "x"})
    assert not [name for name in set(sys.modules) - before if name.startswith("cinder.cmd")]


def test_backend_host_is_the_part_before_the_at_sign(load: Callable[..., Any]) -> None:
    port = load("west", backend_host="cluster")
    assert port.info.options["backend_host"] == "cluster"
    assert port._driver.host == "cluster@west"
