"""Import and export of qcow2 images, and of images from web servers."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
from typing import Any

import pytest
from cli.command import COMMAND, Command
from image_server import serving

GIB = 1024**3
MIB = 1024**2

_needs_qemu_img = pytest.mark.skipif(
    shutil.which("qemu-img") is None, reason="qemu-img is not installed: apt install qemu-utils"
)


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def _qemu_img(*arguments: Any) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def raw(cinderlib: Command) -> pathlib.Path:
    """A raw image of 64 MiB with 1 MiB of data."""
    path = cinderlib.folder / "raw"
    with path.open("wb") as file:
        file.seek(20 * MIB)
        file.write(b"data" * (MIB // 4))
        file.truncate(64 * MIB)
    return path


@pytest.fixture
def qcow2(raw: pathlib.Path) -> pathlib.Path:
    path = raw.with_suffix(".qcow2")
    _qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, path)
    return path


def _starts_with(cinderlib: Command, content: bytes) -> bool:
    (name,) = cinderlib.files
    with (cinderlib.volumes / name).open("rb") as file:
        return file.read(len(content)) == content and not any(file.read(MIB))


@_needs_qemu_img
def test_qcow2_in_both_directions(
    cinderlib: Command, raw: pathlib.Path, qcow2: pathlib.Path
) -> None:
    checksum = hashlib.sha256(qcow2.read_bytes()).hexdigest()
    done = cinderlib(
        *("volume", "import", "data", str(qcow2), "--format", "qcow2"),
        *("--sha256", checksum, "--json"),
    ).json
    assert (done["size"], done["sha256"]) == (1, checksum)
    assert _starts_with(cinderlib, raw.read_bytes())
    (stored,) = cinderlib.volumes.glob("volume-*")
    assert stored.stat().st_blocks * 512 < 4 * MIB

    target = cinderlib.folder / "exported.qcow2"
    exported = cinderlib(
        "volume", "export", "data", str(target), "--format", "qcow2", "--json"
    ).json
    assert exported["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert exported["size_bytes"] == GIB
    assert exported["file_bytes"] == target.stat().st_size < 4 * MIB
    _qemu_img("check", "-f", "qcow2", target)
    _qemu_img("compare", "-f", "qcow2", "-F", "raw", target, stored)
    assert cinderlib("node", "list").stdout == ""


def test_a_name_of_another_format_is_refused(cinderlib: Command) -> None:
    """Programs that expect qcow2 by the name of a file cannot read a raw image."""
    cinderlib("volume", "create", "data", "1GiB")
    target = cinderlib.folder / "exported.qcow2"
    refused = cinderlib("volume", "export", "data", str(target), ends=2)
    assert "add --format qcow2, or --format raw" in refused.stderr
    assert not target.exists()
    cinderlib("volume", "export", "data", str(target), "--format", "raw")
    assert target.stat().st_size == GIB


@_needs_qemu_img
@pytest.mark.alone
@pytest.mark.slow
def test_qcow2_through_pipes(cinderlib: Command, raw: pathlib.Path, qcow2: pathlib.Path) -> None:
    cinderlib("volume", "import", "data", "-", "--format", "qcow2", input=qcow2.read_bytes())
    assert _starts_with(cinderlib, raw.read_bytes())
    again = cinderlib.folder / "again"
    with again.open("wb") as file:
        subprocess.run(
            [*COMMAND, "volume", "export", "data", "-", "--format", "qcow2"],
            stdout=file, check=True, env={**os.environ, **cinderlib.environment},
        )  # fmt: skip
    _qemu_img("compare", "-f", "qcow2", "-F", "raw", again, raw)


@_needs_qemu_img
@pytest.mark.alone
def test_unsafe_qcow2_images_are_refused(
    cinderlib: Command, raw: pathlib.Path, qcow2: pathlib.Path
) -> None:
    def refused(path: pathlib.Path, *, ends: int = 2) -> str:
        done = cinderlib("volume", "import", "data", str(path), "--format", "qcow2", ends=ends)
        assert cinderlib.files == []
        assert cinderlib("volume", "list").stdout == ""
        return done.stderr

    secret = cinderlib.folder / "secret"
    secret.write_bytes(b"secret" * 100_000)
    backed, split = cinderlib.folder / "backed", cinderlib.folder / "split"
    _qemu_img("create", "-f", "qcow2", "-b", secret, "-F", "raw", backed)
    assert "backing file" in refused(backed)
    _qemu_img(
        *("create", "-f", "qcow2", "-o", f"data_file={secret},data_file_raw=on", split),
        str(secret.stat().st_size),
    )
    assert "data_file" in refused(split)
    locked = cinderlib.folder / "locked"
    # For "luks", qemu-img measures the processor first, and fails on a loaded machine.
    _qemu_img(
        *("create", "-f", "qcow2", "--object", "secret,id=a,data=x"),
        *("-o", "encrypt.format=aes,encrypt.key-secret=a", locked, "1M"),
    )
    assert "encrypted" in refused(locked)
    assert "not a qcow2 image" in refused(raw)
    old = cinderlib.folder / "old"
    old.write_bytes(b"QFI\xfb" + (1).to_bytes(4, "big") + bytes(600))
    assert "version" in refused(old)
    damaged = cinderlib.folder / "damaged"
    damaged.write_bytes(qcow2.read_bytes()[:300_000])
    with damaged.open("r+b") as file:
        file.seek(40)
        file.write(b"\xff" * 8)
    assert "qemu-img" in refused(damaged, ends=1)


@pytest.mark.alone
def test_without_qemu_img_nothing_changes(
    cinderlib: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cinderlib.folder))
    image = cinderlib.folder / "image"
    image.write_bytes(b"QFI\xfb" + bytes(1000))
    refused = cinderlib("volume", "import", "data", str(image), "--format", "qcow2", ends=5)
    assert "qemu-utils" in refused.stderr
    refused = cinderlib("volume", "export", "data", "-", "--format", "qcow2", ends=5)
    assert "qemu-utils" in refused.stderr


@pytest.mark.alone
@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"QFI\xfb", id="qcow2"),
        pytest.param(b"CINDERLIB STREAM 1\n", id="stream", marks=pytest.mark.slow),
    ],
)
def test_a_raw_image_can_begin_like_any_format(cinderlib: Command, begin: bytes) -> None:
    image = cinderlib.folder / "image"
    image.write_bytes(begin + b"x" * 1000)
    cinderlib("volume", "import", "data", str(image), "--format", "raw")
    assert _starts_with(cinderlib, image.read_bytes())


def test_a_raw_image_from_a_server_that_breaks_connections(
    cinderlib: Command, raw: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinderlib.streams.download._PAUSES", (0.0,) * 3)
    content = raw.read_bytes()
    with serving(content) as server:
        server.breaks_after = 30 * MIB
        login = server.url.replace("://", "://ann:secret@")
        checksum = hashlib.sha512(content).hexdigest()
        done = cinderlib("volume", "import", "data", f"{login}/disk", "--checksum", checksum)
        assert _starts_with(cinderlib, content)
        assert len(server.requests) == 3
        assert "64 MiB, 1 MiB of data" in done.stderr
        server.failures = [404]
        refused = cinderlib("volume", "import", "other", f"{login}/disk", ends=2)
        assert "404" in refused.stderr
        assert "secret" not in done.stderr + refused.stderr
        assert len(cinderlib("volume", "list").rows) == 1


def test_a_download_that_fails_leaves_nothing(
    cinderlib: Command, raw: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(raw.read_bytes()) as server:
        server.breaks_after, server.ranges = 30 * MIB, False
        monkeypatch.setattr("cinderlib.streams.download._PAUSES", (0.0,))
        refused = cinderlib("volume", "import", "data", server.url, ends=1)
    assert "cannot send a part" in refused.stderr
    assert cinderlib.files == []
    assert cinderlib("volume", "list").stdout == ""


@_needs_qemu_img
@pytest.mark.alone
def test_a_qcow2_image_from_a_server(
    cinderlib: Command, raw: pathlib.Path, qcow2: pathlib.Path
) -> None:
    with serving(qcow2.read_bytes()) as server:
        cinderlib("volume", "import", "data", server.url, "--format", "qcow2", "--bootable")
    assert _starts_with(cinderlib, raw.read_bytes())


@pytest.mark.alone
def test_a_stream_from_a_server(cinderlib: Command) -> None:
    cinderlib("volume", "create", "data", "1GiB")
    stream = cinderlib.folder / "stream"
    cinderlib("volume", "export", "data", str(stream), "--stream")
    with serving(stream.read_bytes()) as server:
        cinderlib("volume", "import", "copy", server.url)
        cinderlib("volume", "apply", "data", server.url, "--yes")
    assert len(cinderlib("volume", "list").rows) == 2
