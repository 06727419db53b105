"""The tree of backends, pools, volumes, snapshots, hosts and devices."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
from typing import Any

import jsonschema
import pytest
from cli.command import COMMAND, Command

SCHEMA = json.loads(
    (pathlib.Path(__file__).resolve().parents[2] / "docs" / "output-schema.json").read_text()
)

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control") or not shutil.which("mkfs.ext4"),
    reason="needs root, the kernel's loop module and e2fsprogs",
)


@needs_mounts
def test_the_tree_shows_snapshots_devices_and_mounts(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    cinderlib("volume", "create", "logs", "2GiB")
    cinderlib("snapshot", "create", "data", "monday")
    device = cinderlib("volume", "attach", "data").line
    mount = cinderlib.folder / "with space"
    mount.mkdir()
    subprocess.run(["mkfs.ext4", "-q", device], check=True)
    subprocess.run(["mount", device, mount], check=True)
    try:
        lines = cinderlib("tree", "--columns", "tree,status,path,mounts").stdout.splitlines()
        found: list[Any] = cinderlib("tree", "--json").json
    finally:
        subprocess.run(["umount", mount], check=True)
    names = [line[: lines[0].index("STATUS")].rstrip() for line in lines[1:]]
    assert names[:4] == ["files", "└─pool files", "  ├─data", "  │ ├─snapshot monday"]
    assert names[4].startswith("  │ └─host ")
    assert names[5] == "  └─logs"
    assert lines[5].endswith(f"{device}  {mount}")
    for each in found:
        jsonschema.Draft202012Validator({**SCHEMA, "$ref": "#/$defs/tree"}).validate(each)
    volume = found[0]["children"][0]["children"][0]
    host = volume["children"][1]
    assert (host["path"], host["device_state"], host["mounts"]) == (device, "ok", [str(mount)])
    cinderlib("volume", "detach", "data")


@pytest.mark.slow
def test_a_part_of_the_tree(cinderlib: Command) -> None:
    for name in ("data-1", "data-2", "logs"):
        cinderlib("volume", "create", name, "1GiB")
    assert "logs" not in cinderlib("tree", "data-*").stdout
    assert "nothing" in cinderlib("tree", "nothing", ends=3).stderr
    plain = subprocess.run(
        [*COMMAND, "tree", "logs"],
        env={**os.environ, **cinderlib.environment, "PYTHONIOENCODING": "latin-1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "`-pool files" in plain.stdout
    assert cinderlib("tree", "-o", "csv", "--no-headers").stdout.startswith("backend,files,")
