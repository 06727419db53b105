"""Values imported from a ``cinder.conf`` are those that Cinder's own process reads."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from oslo_config import cfg, types

from cinderlib import drivers
from cinderlib.errors import ConfigurationError

SECTION = """\
volume_driver = cinder.volume.drivers.lvm.LVMVolumeDriver
"""

#: Contents of a section, each with the content of [DEFAULT].
EXAMPLES = {
    "an option given twice": ("san_ip = 192.0.2.1\nsan_ip = 192.0.2.2\n", ""),
    "a multi option given once": ("replication_device = backend_id:two,san_ip:192.0.2.3\n", ""),
    "a multi option given twice": (
        "replication_device = backend_id:two\nreplication_device = backend_id:three,a:b\n",
        "",
    ),
    "quotes": ('san_login = "a b"\nsan_password = \'c d\'\nvolume_group = "e\n', ""),
    "a reference": ("target_ip_address = $my_ip\n", "my_ip = 192.0.2.4\n"),
    "a reference with braces": ("san_login = x${my_ip}y\n", "my_ip = 192.0.2.4\n"),
    "a reference to the section's own": ("san_ip = 192.0.2.5\nsan_login = $san_ip\n", ""),
    "a reference that leads on": (
        "san_login = $my_ip\n",
        "my_ip = ${nova.interface}\n[nova]\ninterface = 192.0.2.6\n",
    ),
    "dollars": ("san_login = a$$b\nvolume_group = c\\$d\n", ""),
    "Cinder's own state folder": ("volumes_dir = $state_path/volumes\n", ""),
    "a chosen state folder": ("volumes_dir = $state_path/volumes\n", "state_path = /srv/cinder\n"),
    "comments and spaces": ("# san_ip = 1\n  \nsan_ip   =   192.0.2.7   \nsan_login:me\n", ""),
    "several lines": ("san_login = one\n  two\n", ""),
    "nothing": ("san_login =\n", ""),
    "a list": ("iscsi_secondary_ip_addresses = 192.0.2.8, 192.0.2.9\n", ""),
    "a section in two pieces": ("san_ip = 1\n[other]\nx = y\n[lvm]\nsan_ip = 2\n", ""),
}
OPTIONS = [
    cfg.StrOpt("san_ip"), cfg.StrOpt("san_login"), cfg.StrOpt("san_password"),
    cfg.StrOpt("volume_group"), cfg.StrOpt("target_ip_address"), cfg.StrOpt("volumes_dir"),
    cfg.StrOpt("iscsi_secondary_ip_addresses"), cfg.StrOpt("volume_driver"),
    cfg.MultiOpt("replication_device", item_type=types.String()),
]  # fmt: skip


def of_oslo(path: pathlib.Path) -> dict[str, Any]:
    """The values that a process of Cinder reads."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(path)], default_config_dirs=[], use_env=False)
    conf.register_opts([cfg.StrOpt("my_ip"), cfg.StrOpt("state_path", default="/var/lib/cinder")])
    conf.register_opt(cfg.StrOpt("interface"), group="nova")
    conf.register_opts(OPTIONS, group="lvm")
    found = {opt.dest: conf.lvm[opt.dest] for opt in OPTIONS}
    return {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize("name", EXAMPLES)
def test_values_match_oslo_config(tmp_path: pathlib.Path, name: str) -> None:
    options, default = EXAMPLES[name]
    path = tmp_path / "cinder.conf"
    path.write_text(f"[lvm]\n{SECTION}{options}[DEFAULT]\nenabled_backends = lvm\n{default}")
    assert drivers.read_cinder_conf(path).backends == {"lvm": of_oslo(path)}


def test_the_folder_next_to_the_file_is_read_after_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cinder.conf"
    path.write_text(f"[DEFAULT]\nenabled_backends = lvm\n[lvm]\n{SECTION}san_ip = 1\n")
    (tmp_path / "cinder.conf.d").mkdir()
    (tmp_path / "cinder.conf.d" / "a.conf").write_text("[lvm]\nsan_ip = 2\n")
    (tmp_path / "cinder.conf.d" / "b.conf").write_text("[lvm]\nsan_login = me\n")
    options = drivers.read_cinder_conf(path).backends["lvm"]
    assert (options["san_ip"], options["san_login"]) == ("2", "me")


@pytest.mark.parametrize("section", ["LVM", "Lvm"])
def test_a_section_is_found_in_any_case(tmp_path: pathlib.Path, section: str) -> None:
    path = tmp_path / "cinder.conf"
    path.write_text(f"[DEFAULT]\nenabled_backends = lvm\n[{section}]\n{SECTION}san_ip = 1\n")
    assert drivers.read_cinder_conf(path).backends == {"lvm": of_oslo(path)}


@pytest.mark.parametrize("text", ["$", "pa$word", "${word", "$(word)", "pa$$word$my_ip"])
def test_a_password_with_a_dollar_is_imported(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "cinder.conf"
    path.write_text(f"[DEFAULT]\nenabled_backends = lvm\n[lvm]\n{SECTION}san_password = {text}\n")
    found = drivers.read_cinder_conf(path).backends["lvm"]["san_password"]
    assert found == text.replace("$$", "$")


@pytest.mark.parametrize(
    "text", ["[lvm", "no equals sign\n", "[DEFAULT]\n  value\n", "[DEFAULT]\n= x\n", "\0", "\xff"]
)
def test_invalid_cinder_conf_files_are_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "cinder.conf"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"cinder\.conf"):
        drivers.read_cinder_conf(path)
