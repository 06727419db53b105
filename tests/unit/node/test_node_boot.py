"""Persistent attachments return after a boot, with real loop devices."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cinderlib import errors
from cinderlib.node import Node, loop

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
)

Volume = Callable[..., dict[str, Any]]


def _boot(node: Node, *documents: dict[str, Any]) -> Node:
    """What a boot does: devices disappear, and the state belongs to an earlier boot."""
    for document in documents:
        file = document["conn"]["data"]["device_path"]
        for trace in loop.devices_of(loop.Source.of(file)):
            loop.remove(f"/dev/{trace.name}", loop.Source.of(file))
    state = _state_path(node)
    for folder in state.glob("boot-*"):
        folder.rename(state / f"boot-{uuid.uuid4()}")
    return Node(state_path=state)


def _state_path(node: Node) -> Path:
    return Path(node._settings.state.path)


def test_a_persistent_attachment_returns(node: Node, volume: Volume) -> None:
    kept, other = volume("kept", id="kept"), volume("other", id="other")
    link = str(_state_path(node).parent / "links" / "data")
    attachment = node.attach(kept, link=link)
    node.attach(other)
    assert node.persistent.add(attachment.connection_info)
    assert not node.persistent.add("kept")

    node = _boot(node, kept, other)
    (found,) = node.persistent.all()
    assert (found.attachment, found.link) == (None, link)
    (found,) = node.persistent.attach()
    assert found.error is None
    assert found.attachment is not None
    assert found.attachment.changed
    assert os.path.samefile(link, found.attachment.path)
    assert [each.connection_info["id"] for each in node.attachments()] == ["kept"]
    (again,) = node.persistent.attach()
    assert again.attachment is not None
    assert (again.attachment.path, again.attachment.changed) == (found.attachment.path, False)
    node.detach("kept")


def test_the_documents_are_private(node: Node, volume: Volume) -> None:
    document = volume(id="one")
    document["conn"]["data"]["auth_password"] = "secret-of-the-array"
    node.attach(document)
    old = os.umask(0)
    try:
        node.persistent.add(document)
    finally:
        os.umask(old)
    folder = _state_path(node) / "persistent"
    (file,) = folder.iterdir()
    assert "secret-of-the-array" in file.read_text()
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert "secret" not in repr(node.persistent.all())
    node.detach(document)


def test_a_detach_ends_the_persistence(node: Node, volume: Volume) -> None:
    document = volume(id="one")
    node.attach(document)
    node.persistent.add(document)
    assert node.detach(document)
    assert node.persistent.all() == []
    assert _boot(node).persistent.attach() == []


def test_a_refused_detach_does_not_end_it(node: Node, volume: Volume, tmp_path: Path) -> None:
    document = volume(id="one", size=16 << 20)
    path = node.attach(document).path
    node.persistent.add(document)
    subprocess.run(["mke2fs", "-q", "-F", path], check=True)
    (mount := tmp_path / "mount").mkdir()
    subprocess.run(["mount", path, mount], check=True)
    try:
        with pytest.raises(errors.DeviceInUse):
            node.detach(document)
    finally:
        subprocess.run(["umount", mount], check=True)
    assert len(node.persistent.all()) == 1
    node.detach(document)


def test_a_volume_that_did_not_return_can_be_detached(node: Node, volume: Volume) -> None:
    document = volume(id="one")
    node.attach(document)
    node.persistent.add(document)
    node = _boot(node, document)
    node.detach("one")
    assert node.persistent.all() == []


def test_unpersist(node: Node, volume: Volume) -> None:
    document = volume(id="one")
    node.attach(document)
    node.persistent.add("one")
    assert node.persistent.remove("one")
    assert not node.persistent.remove(document)
    assert len(node.attachments()) == 1
    assert _boot(node, document).persistent.attach() == []


def test_only_attached_devices_can_be_persistent(node: Node, volume: Volume) -> None:
    with pytest.raises(errors.NotLocal):
        node.persistent.add(volume(id="one"))
    with pytest.raises(errors.ConnectionNotFound):
        node.persistent.add("one")
    assert not _state_path(node).joinpath("persistent").exists()


def test_one_failure_does_not_stop_the_others(node: Node, volume: Volume) -> None:
    gone, good, damaged = volume("a", id="a"), volume("b", id="b"), volume("c", id="c")
    for document in (gone, good, damaged):
        node.attach(document)
        node.persistent.add(document)
    (file,) = (
        each for each in (_state_path(node) / "persistent").iterdir() if b'"c"' in each.read_bytes()
    )
    node = _boot(node, gone, good, damaged)
    os.rename(gone["conn"]["data"]["device_path"], gone["conn"]["data"]["device_path"] + ".away")
    file.write_bytes(file.read_bytes()[:40])
    found = node.persistent.attach()
    assert sorted(each.error is None for each in found) == [False, False, True]
    assert [each.connection_info["id"] for each in node.attachments()] == ["b"]
    # Those that failed stay persistent, for example until the array works again.
    assert {each.connection_info["id"] for each in node.persistent.all()} == {"a", "b"}
    os.rename(gone["conn"]["data"]["device_path"] + ".away", gone["conn"]["data"]["device_path"])
    assert {e.connection_info.get("id") for e in node.persistent.attach() if not e.error} == {
        "a",
        "b",
    }
    node.detach("a")
    node.detach("b")


def test_it_waits_for_an_array_that_starts_later(
    node: Node, volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = volume(id="one")
    file = document["conn"]["data"]["device_path"]
    node.attach(document)
    node.persistent.add(document)
    node = _boot(node, document)
    os.rename(file, f"{file}.away")
    monkeypatch.setattr("cinderlib.node.boot.time.sleep", lambda _: os.rename(f"{file}.away", file))
    (found,) = node.persistent.attach(wait=60)
    assert found.error is None
    node.detach("one")


def test_a_new_document_replaces_the_old_one(node: Node, volume: Volume) -> None:
    document = volume(id="one")
    node.attach(document)
    node.persistent.add(document)
    node = _boot(node, document)
    document["conn"]["data"]["auth_password"] = "new"
    node.attach(document)
    (kept,) = node.persistent.all()
    assert kept.connection_info["conn"]["data"]["auth_password"] == "new"
    node.detach("one")
