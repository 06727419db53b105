"""A host without dm-crypt that can attach encrypted volumes: tests of everything else than the
kernel's part run on it.

Headers are cryptsetup's on real devices. ``luksOpen`` only checks the key, and the decrypted device
is a file with the name of the device below. The lab has real devices.
"""

from __future__ import annotations

import os
import shutil
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
    basename "$(readlink -f "$device")" >{folder}/mapped/"$name";;
luksClose)
    [ -e {folder}/mapped/"$name" ] || exit 4
    rm {folder}/mapped/"$name";;
resize)
    cat >{folder}/resized;;
*)
    exec {real} "$@";;
esac
"""


def missing() -> str:
    """What this host lacks for it; empty if it lacks nothing."""
    if os.geteuid() != 0 or not os.path.exists("/dev/loop-control"):
        return "needs root and the kernel's loop module (run as root, `modprobe loop`)"
    return "" if CRYPTSETUP else "needs the command cryptsetup"


def install(folder: Path, setattr_: Any = setattr) -> str:
    """Let this process use such a host.

    :param folder: for its state.
    :param setattr_: sets attributes.
    :returns: the value for the environment variable PATH.
    """
    (folder / "mapped").mkdir(parents=True, exist_ok=True)
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


def verbs(folder: Path) -> list[str]:
    """The commands of cryptsetup that ran."""
    log = folder / "log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
