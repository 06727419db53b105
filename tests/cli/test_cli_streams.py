"""Streams of snapshots, and extents, with the command."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest
from cli.command import COMMAND, Command

MIB = 1024**2


def _write(cinderlib: Command, volume: str, data: bytes) -> None:
    device = cinderlib("volume", "attach", volume).line
    with open(device, "r+b") as file:
        file.write(data)
    cinderlib("volume", "detach", volume)


@pytest.mark.slow
def test_a_backup_chain(cinderlib: Command) -> None:
    folder = cinderlib.folder
    cinderlib("volume", "create", "data", "1GiB")
    _write(cinderlib, "data", b"a" * MIB)
    cinderlib("snapshot", "create", "data", "monday")
    _write(cinderlib, "data", b"b" * MIB)
    cinderlib("snapshot", "create", "data", "tuesday")
    (extent,) = cinderlib("snapshot", "extents", "tuesday", "--since", "monday", "--json").json
    assert extent == {"offset": 0, "length": MIB, "kind": "data"}
    assert len(cinderlib("volume", "extents", "data").rows) == 2
    done = cinderlib("snapshot", "export", "monday", str(folder / "full"), "--json").json
    assert (done.get("since"), done["data_bytes"]) == (None, MIB)
    changes = str(folder / "changes")
    cinderlib("snapshot", "export", "tuesday", changes, "--since", "monday")
    assert os.path.getsize(changes) < 2 * MIB
    assert "exists" in cinderlib("snapshot", "export", "monday", changes, ends=4).stderr

    refused = cinderlib("volume", "import", "copy", changes, ends=2)
    assert "volume apply" in refused.stderr
    copy = cinderlib("volume", "import", "copy", str(folder / "full"), "--json").json
    assert (copy["size"], copy["applied"]["complete"]) == (1, True)
    assert (
        "replace the content" in cinderlib("volume", "apply", "copy", changes, "--dry-run").stderr
    )
    assert cinderlib("volume", "apply", "copy", changes, "--yes", "--json").json["changed"]
    assert "already" in cinderlib("volume", "apply", "copy", changes, "--yes").stderr
    raw = cinderlib("volume", "export", "copy", str(folder / "one"), "--json").json
    same = cinderlib("volume", "export", "data", str(folder / "two"), "--json").json
    assert raw["sha256"] == same["sha256"]
    assert len(cinderlib("volume", "list").rows) == 2


@pytest.mark.slow
def test_a_pipe_between_commands(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    _write(cinderlib, "data", b"a" * MIB)
    cinderlib("snapshot", "create", "data", "monday")
    command = shlex.join(COMMAND)
    subprocess.run(
        f"{command} snapshot export monday - | {command} volume import copy -",
        shell=True, check=True, env={**os.environ, **cinderlib.environment},
    )  # fmt: skip
    _write(cinderlib, "data", b"b" * MIB)
    subprocess.run(
        f"{command} volume export data - --since monday | {command} volume apply copy - --yes",
        shell=True, check=True, env={**os.environ, **cinderlib.environment},
    )  # fmt: skip
    raw = cinderlib("volume", "export", "copy", str(cinderlib.folder / "one"), "--json").json
    same = cinderlib("volume", "export", "data", str(cinderlib.folder / "two"), "--json").json
    assert raw["sha256"] == same["sha256"]


@pytest.mark.slow
def test_wrong_streams_change_nothing(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    before = cinderlib("volume", "show", "data", "--json").json
    image = cinderlib.folder / "image"
    image.write_bytes(b"x" * 4096)
    assert (
        "not a stream" in cinderlib("volume", "apply", "data", str(image), "--yes", ends=2).stderr
    )
    stream = cinderlib.folder / "stream"
    cinderlib("volume", "export", "data", str(stream), "--stream")
    stream.write_bytes(stream.read_bytes()[:60])
    assert "incomplete" in cinderlib("volume", "apply", "data", str(stream), "--yes", ends=2).stderr
    assert cinderlib("volume", "show", "data", "--json").json["status"] == before["status"]
