"""The Debian package of the storage type for Proxmox VE."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

import pytest

import cinderlib as cl

ROOT = pathlib.Path(__file__).parents[2]
NAME = "cinderlib-proxmox"
LOAD = """
use PVE::Storage::Custom::CinderlibPlugin;
print PVE::Storage::Custom::CinderlibPlugin->type;
"""
TOOLS = ("dh", "dpkg-buildpackage", "lintian")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, TOOLS)),
        reason=f"needs root, to install packages in a folder, and {', '.join(TOOLS)}",
    ),
]


def test_the_package_is_installed_and_purged(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "source"
    for name in ("contrib/proxmox", "scripts"):
        shutil.copytree(ROOT / name, source / name)
    built = subprocess.run(["scripts/deb"], cwd=source, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (package,) = (source / "dist").glob("*.deb")
    assert package.name == f"{NAME}_{cl.__version__}_all.deb"

    root = tmp_path / "root"
    for folder in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / folder).mkdir(parents=True)
    # The host has the packages that it depends on.
    (root / "var/lib/dpkg/status").write_text(
        "".join(
            f"Package: {name}\nStatus: install ok installed\nMaintainer: test\nArchitecture: all\n"
            f"Version: 99\nMulti-Arch: allowed\nDescription: test\n\n"
            for name in ("libjson-perl", "libjson-xs-perl", "libpve-storage-perl", "perl")
        )
    )
    (root / "var/lib/dpkg/available").touch()

    def dpkg(*arguments: str) -> str:
        done = subprocess.run(
            ["dpkg", f"--root={root}", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    dpkg("--install", str(package))
    plugin = root / "usr/share/perl5/PVE/Storage/Custom/CinderlibPlugin.pm"
    assert plugin.stat().st_mode & 0o777 == 0o644
    stand_in = ROOT / "contrib/proxmox/t/lib"
    loaded = subprocess.run(
        ["perl", "-T", "-I", root / "usr/share/perl5", "-I", stand_in, "-e", LOAD],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (loaded.returncode, loaded.stdout) == (0, "cinderlib"), loaded.stderr
    dpkg("--purge", NAME)
    assert not (root / "usr").exists()
    assert NAME not in dpkg("--get-selections")
