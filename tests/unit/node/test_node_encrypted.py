"""Encrypted volumes: which devices are formatted, opened and refused.

The headers are cryptsetup's on real loop devices; see ``luks_host.py``.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import luks_host
import pytest

from cinderlib import errors
from cinderlib.node import Node, command, luks
from cinderlib.node.encrypted import EncryptedConnector

pytestmark = pytest.mark.skipif(bool(luks_host.missing()), reason=luks_host.missing())
KEY = "5a" * 32


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """The commands of cryptsetup that ran."""
    folder = tmp_path / "fake"
    monkeypatch.setenv("PATH", luks_host.install(folder, monkeypatch.setattr))
    yield lambda: luks_host.verbs(folder)
    if (folder / "log").exists():
        assert KEY not in (folder / "log").read_text()


def encrypted(document: dict[str, Any], **fields: Any) -> dict[str, Any]:
    part = {"provider": "luks2", "key": KEY, "format": True, **fields}
    return {**document, "conn": {**document["conn"], "encryption": part}, "id": "connection"}


def format_(file: Path, *, key: str = KEY) -> None:
    argv = ["cryptsetup", "--batch-mode", "luksFormat", "--key-file=-", "--pbkdf", "pbkdf2"]
    command.run([*argv, "--pbkdf-force-iterations", "1000", str(file)], secret_input=key)


Make = Callable[..., dict[str, Any]]
SIZE = 32 << 20


def test_an_empty_device_is_formatted_once(
    node: Node,
    volume: Make,
    calls: Callable[[], list[str]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    connection = encrypted(volume(size=SIZE))
    attachment = node.attach(connection)
    assert attachment.path.startswith("/dev/mapper/crypt-")
    assert attachment.changed
    assert KEY not in repr(attachment)
    again = node.attach(connection)
    assert (again.path, again.changed) == (attachment.path, False)
    assert calls().count("--batch-mode") == 1
    header = (tmp_path / "volume").read_bytes()
    assert node.detach(connection) is True
    assert node.detach(connection) is False
    node.attach(connection)
    node.detach(connection)
    assert calls().count("--batch-mode") == 1
    assert (tmp_path / "volume").read_bytes() == header
    assert KEY not in caplog.text
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()


def test_the_key_is_not_on_disk_while_it_is_attached(
    node: Node, volume: Make, calls: Callable[[], list[str]], tmp_path: Path
) -> None:
    connection = encrypted(volume(size=SIZE))
    node.attach(connection)
    for file in (tmp_path / "state").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes()
    with pytest.raises(errors.Unsupported, match="this host keeps no keys"):
        node.persistent.add("connection")
    node.detach("connection")


def test_a_wrong_key_changes_nothing(
    node: Node, volume: Make, calls: Callable[[], list[str]], tmp_path: Path
) -> None:
    document = volume(size=SIZE)
    format_(tmp_path / "volume", key="00" * 32)
    before = (tmp_path / "volume").read_bytes()
    with pytest.raises(errors.NodeError, match="The key does not open encrypted volume") as caught:
        node.attach(encrypted(document))
    assert not caught.value.retryable
    assert KEY not in str(caught.value)
    assert node.attachments() == []
    assert node.leftovers() == []
    assert (tmp_path / "volume").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        (b"x" * 100, {}, "its device has data, and is not formatted"),
        (b"", {"format": False}, "its LUKS header is missing or has no key"),
        (b"x" * 100, {"format": False}, "its LUKS header is missing or has no key"),
    ],
)
def test_a_device_that_must_not_be_formatted_is_refused(
    node: Node,
    volume: Make,
    calls: Callable[[], list[str]],
    tmp_path: Path,
    content: bytes,
    fields: dict[str, Any],
    message: str,
) -> None:
    document = volume(size=SIZE)
    with open(tmp_path / "volume", "r+b") as file:
        file.seek(20_000)
        file.write(content)
    before = (tmp_path / "volume").read_bytes()
    with pytest.raises(errors.NodeError, match=message):
        node.attach(encrypted(document, **fields))
    assert "--batch-mode" not in calls()
    assert (tmp_path / "volume").read_bytes() == before
    assert node.attachments() == []


def test_a_new_volume_cannot_be_attached_read_only(
    node: Node, volume: Make, calls: Callable[[], list[str]]
) -> None:
    connection = encrypted(volume(size=SIZE))
    with pytest.raises(errors.NodeError, match="attach it read-write first"):
        node.attach({**connection, "attach_mode": "ro"})
    node.attach(connection)
    node.detach(connection)
    assert node.attach({**connection, "attach_mode": "ro"}).changed
    node.detach(connection)


def test_a_document_without_the_key_is_refused(
    node: Node, volume: Make, calls: Callable[[], list[str]]
) -> None:
    connection = encrypted(volume(size=SIZE))
    del connection["conn"]["encryption"]["key"]
    with pytest.raises(errors.Unsupported, match="the connection document has no key"):
        node.attach(connection)
    assert calls() == []


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_states_of_a_device(volume: Make, tmp_path: Path, kind: str) -> None:
    volume(size=SIZE)
    path = str(tmp_path / "volume")
    assert luks.inspect(path, "") == "empty"
    subprocess.run(["mke2fs", "-q", "-F", path], check=True)
    assert luks.inspect(path, "") == "data"
    subprocess.run(["wipefs", "-qa", path], check=True)
    os.truncate(path, 0)
    os.truncate(path, SIZE)
    argv = ["cryptsetup", "--batch-mode", "luksFormat", "--key-file=-", "--pbkdf", "pbkdf2"]
    command.run([*argv, "--pbkdf-force-iterations", "1000", "--type", kind, path], secret_input=KEY)
    assert luks.inspect(path, "") == "header"
    command.run(["cryptsetup", "luksErase", "--batch-mode", path])
    assert luks.inspect(path, "") == "unfinished"
    luks.remove_unfinished(path, "")
    assert luks.inspect(path, "") == "empty"


def test_a_format_that_was_interrupted_is_repeated(
    node: Node, volume: Make, calls: Callable[[], list[str]], tmp_path: Path
) -> None:
    connection = encrypted(volume(size=SIZE))
    format_(tmp_path / "volume", key="00" * 32)
    command.run(["cryptsetup", "luksErase", "--batch-mode", str(tmp_path / "volume")])
    node.attach(connection)
    node.detach(connection)
    assert luks.inspect(str(tmp_path / "volume"), "") == "header"


def test_extend_needs_no_key(
    node: Node,
    volume: Make,
    calls: Callable[[], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = encrypted(volume(size=SIZE))
    attachment = node.attach(connection)
    # Without dm-crypt, the size is that of the device below.
    raw = attachment.device["encrypted_path"]
    (link,) = next((tmp_path / "state").rglob("encrypted")).iterdir()
    link.unlink()
    link.symlink_to(raw)
    os.truncate(tmp_path / "volume", 2 * SIZE)
    with monkeypatch.context() as patched:
        patched.setattr(EncryptedConnector, "_path", raw)
        assert node.extend("connection") == 2 * SIZE
    assert (tmp_path / "fake" / "resized").exists()
    node.detach(connection)
