"""A host without dm-crypt that can attach encrypted volumes: tests of everything else than the
kernel's part run on it.

Headers are cryptsetup's on real devices. ``luksOpen`` only checks the key, and the decrypted device
is a file with the name of the device below; or, on request, a loop device behind the header, so
that it can have a filesystem. The lab has real devices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from cinderlib.node.encrypted import EncryptedConnector

CRYPTSETUP = shutil.which("cryptsetup", path="/usr/sbin:/sbin:/usr/bin")
_SCRIPT = """#!/bin/sh
echo "$@" >>{folder}/log
for last; do device=$name; name=$last; done
case $1 in
luksOpen)
    {real} open --test-passphrase --key-file=- "$device" || exit $?
    if [ -d {folder}/devices ]; then
        case " $* " in *" --readonly "*) mode=--read-only;; esac
        loop=$(losetup --find --show $mode --offset=16MiB "$device") || exit 5
        ln -s "$loop" {folder}/devices/"$name"
        mkdir -p /dev/mapper
        ln -s "$loop" /dev/mapper/"$name"
    fi
    basename "$(readlink -f "$device")" >{folder}/mapped/"$name";;
luksClose)
    [ -e {folder}/mapped/"$name" ] || exit 4
    if [ -d {folder}/devices ]; then
        losetup --detach "$(readlink {folder}/devices/"$name")" || exit 5
        rm {folder}/devices/"$name" /dev/mapper/"$name"
    fi
    rm {folder}/mapped/"$name";;
resize)
    cat >{folder}/resized
    if [ -d {folder}/devices ]; then
        case $name in /*) ;; *) name=/dev/mapper/$name;; esac
        losetup --set-capacity "$(readlink --canonicalize "$name")" || exit 5
    fi;;
*)
    exec {real} "$@";;
esac
"""


def missing() -> str:
    """What this host lacks for it; empty if it lacks nothing."""
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        return "needs root and the kernel's loop module (run as root, `modprobe loop`)"
    return "" if CRYPTSETUP else "needs the command cryptsetup"


def install(folder: Path, setattr_: Any = setattr, *, devices: bool = False) -> str:
    """Let this process use such a host.

    :param folder: for its state.
    :param setattr_: sets attributes.
    :param devices: whether decrypted devices exist, which have the unencrypted data behind the
        header.
    :returns: the value for the environment variable PATH.
    """
    (folder / "mapped").mkdir(parents=True, exist_ok=True)
    if devices:
        (folder / "devices").mkdir(exist_ok=True)
    program = folder / "cryptsetup"
    program.write_text(_SCRIPT.format(folder=folder, real=CRYPTSETUP))
    program.chmod(0o755)

    def mapping(self: EncryptedConnector) -> Path | None:
        mapped = folder / "mapped" / self._name
        return mapped if mapped.exists() else None

    def is_over(self: EncryptedConnector, path: str) -> bool:
        there = mapping(self)
        return there is not None and there.read_text().strip() == os.path.basename(path)

    def traces(self: EncryptedConnector, device: dict[str, Any]) -> list[Any]:
        return self._inner.traces({**device, "path": device["encrypted_path"]})

    setattr_(EncryptedConnector, "_mapping", mapping)
    setattr_(EncryptedConnector, "_is_over", is_over)
    setattr_(EncryptedConnector, "traces", traces)
    setattr_(EncryptedConnector, "protect", lambda self, device: None)
    return f"{folder}:/usr/sbin:{os.environ['PATH']}"


def remove_devices(folder: Path) -> None:
    """Remove the decrypted devices that a failed test left."""
    for link in (folder / "devices").glob("*"):
        subprocess.run(["losetup", "--detach", link.readlink()], check=False)
        Path("/dev/mapper", link.name).unlink(missing_ok=True)


def verbs(folder: Path) -> list[str]:
    """The commands of cryptsetup that ran."""
    log = folder / "log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
