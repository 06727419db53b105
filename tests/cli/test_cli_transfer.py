"""Export and import of volumes as raw and qcow2 images."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shlex
import signal
import subprocess
import time

import pytest
from cli.command import COMMAND, Command

GIB = 1024**3
MIB = 1024**2


@pytest.fixture
def image(cinderlib: Command) -> pathlib.Path:
    """A sparse image of 1 GiB with 2 MiB of data."""
    path = cinderlib.folder / "image"
    with path.open("wb") as file:
        file.write(b"begin" * MIB)
        file.truncate(MIB)
        file.seek(700 * MIB)
        file.write(b"e" * MIB)
        file.truncate(GIB)
    return path


def _sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _allocated(path: pathlib.Path) -> int:
    return path.stat().st_blocks * 512


def _on_storage(cinderlib: Command) -> pathlib.Path:
    (name,) = cinderlib.files
    return cinderlib.volumes / name


@pytest.mark.slow
def test_import_and_export_keep_the_content_and_the_holes(
    cinderlib: Command, image: pathlib.Path
) -> None:
    checksum = _sha256(image)
    done = cinderlib("volume", "import", "data", str(image), "--sha256", checksum, "--json").json
    assert (done["size"], done["sha256"], done["status"]) == (1, checksum, "available")
    stored = _on_storage(cinderlib)
    assert _sha256(stored) == checksum
    assert _allocated(stored) < 16 * MIB

    target = cinderlib.folder / "exported"
    exported = cinderlib("volume", "export", "data", str(target), "--json").json
    assert (exported["sha256"], exported["size_bytes"]) == (checksum, GIB)
    assert exported["data_bytes"] == 2 * MIB
    assert _sha256(target) == checksum
    assert _allocated(target) < 16 * MIB
    assert cinderlib("node", "list").stdout == ""
    assert "already exists" in cinderlib("volume", "export", "data", str(target), ends=4).stderr
    assert "already exists" in cinderlib("volume", "import", "data", str(image), ends=4).stderr


@pytest.mark.slow
def test_a_pipe_between_two_volumes(cinderlib: Command, image: pathlib.Path) -> None:
    cinderlib("volume", "import", "data", str(image))
    command = shlex.join(COMMAND)
    subprocess.run(
        f"{command} volume export data - | {command} volume import copy - 2GiB",
        shell=True, check=True, env={**os.environ, **cinderlib.environment},
    )  # fmt: skip
    copy = cinderlib("volume", "export", "copy", str(cinderlib.folder / "copy"), "--json").json
    assert (copy["size_bytes"], copy["data_bytes"]) == (2 * GIB, 2 * MIB)


def test_wrong_images_leave_nothing(cinderlib: Command) -> None:
    def refused(*arguments: str, input: bytes | None = None) -> str:
        done = cinderlib("volume", "import", "data", *arguments, input=input, ends=2)
        assert cinderlib.files == []
        assert cinderlib("volume", "list").stdout == ""
        return done.stderr

    small = cinderlib.folder / "small"
    small.write_bytes(b"x" * 1000)
    assert "not " + "0" * 64 in refused(str(small), "--sha256", "0" * 64)
    assert "SHA-512 checksum of" in refused(str(small), "--checksum", f"sha512:{'0' * 128}")
    assert "64 hexadecimal" in refused(str(small), "--sha256", "0")
    assert "64 hexadecimal" in refused(str(small), "--checksum", f"sha256:{'0' * 128}")
    assert "No such file" in refused(str(cinderlib.folder / "missing"))
    assert "not from s3" in refused("s3://bucket/image")
    assert "Specify SIZE" in refused("-", input=b"x")
    looks_like_qcow2 = cinderlib.folder / "qcow2"
    looks_like_qcow2.write_bytes(b"QFI\xfb" + bytes(1000))
    assert "--format qcow2" in refused(str(looks_like_qcow2))
    with small.open("r+b") as file:
        file.truncate(GIB + 1)
    assert "more than 1 GiB" in refused(str(small), "1")


def test_a_volume_in_use_is_not_exported(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    device = cinderlib("volume", "attach", "data").line
    refused = cinderlib("volume", "export", "data", str(cinderlib.folder / "x"), ends=5)
    assert "snapshot" in refused.stderr
    assert not (cinderlib.folder / "x").exists()
    assert cinderlib("node", "list").rows[0][0] == device
    cinderlib("volume", "detach", "data")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_import_leaves_nothing_or_resumes(
    cinderlib: Command, how: signal.Signals
) -> None:
    with subprocess.Popen(
        [*COMMAND, "volume", "import", "data", "-", "1GiB"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **cinderlib.environment},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(b"x" * 3 * MIB)
        process.stdin.flush()
        deadline = time.monotonic() + 240
        while not any(_allocated(cinderlib.volumes / name) >= 2 * MIB for name in cinderlib.files):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(how)
        process.stdin.close()
        assert process.wait() == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    if how == signal.SIGKILL:
        refused = cinderlib("volume", "import", "data", "-", "1GiB", input=b"y" * MIB, ends=4)
        assert "--resume" in refused.stderr
        cinderlib("volume", "import", "data", "-", "--resume", "1GiB", input=b"y" * MIB)
        stored = _on_storage(cinderlib).read_bytes()
        assert stored == (b"y" * MIB).ljust(GIB, b"\0")
        missing = cinderlib("volume", "import", "data", "-", "--resume", "1GiB", input=b"", ends=3)
        assert "omit --resume" in missing.stderr
        cinderlib("volume", "delete", "data", "--yes")
    assert cinderlib.files == []
    assert cinderlib("volume", "list").stdout == ""
    assert cinderlib("node", "list").stdout == ""
