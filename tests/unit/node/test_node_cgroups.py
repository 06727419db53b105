"""The limits of volumes for control groups, with real loop devices."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import control_groups
import pytest
from control_groups import UNLIMITED, limits

from cinderlib import errors
from cinderlib.node import Node, cgroups
from cinderlib.node.document import ConnectionDocument

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
    reason="needs root and the kernel's loop module (run as root, `modprobe loop`)",
)

Volume = Callable[..., dict[str, Any]]
SPECS = {"total_bytes_sec": "9000000", "read_bytes_sec": 5000000, "write_iops_sec": "100"}


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Creates folders that are like control groups."""
    monkeypatch.setattr(cgroups, "MOUNTS", cgroups.MOUNTS)
    control_groups.accept(tmp_path)
    return lambda name: control_groups.make(tmp_path / name)


def _with(document: dict[str, Any], specs: dict[str, Any] | None) -> dict[str, Any]:
    document["conn"]["data"]["qos_specs"] = specs
    return document


def _number(path: str) -> str:
    device = os.stat(path).st_rdev
    return f"{os.major(device)}:{os.minor(device)}"


def test_specs_becomelimits() -> None:
    def converted(specs: Any) -> dict[str, int]:
        document = {"conn": {"driver_volume_type": "local", "data": {"qos_specs": specs}}}
        return cgroups.limits(ConnectionDocument(document))

    assert converted(SPECS) == {"rbps": 5000000, "wbps": 9000000, "wiops": 100}
    assert converted({"total_iops_sec": 7, "read_iops_sec_max": 9, "size_iops_sec": 1}) == {
        "riops": 7,
        "wiops": 7,
    }
    assert converted({"read_iops_sec": "0"}) == converted({}) == converted(None) == {}
    for bad in ("fast", -1, None, "1.5"):
        with pytest.raises(errors.InvalidDocument, match="read_iops_sec must be"):
            converted({"read_iops_sec": bad})
    with pytest.raises(errors.InvalidDocument, match="must be a mapping"):
        converted("100")


@as_root
def test_an_attached_volume_has_itslimits(
    node: Node, volume: Volume, groups: Callable[[str], Path]
) -> None:
    group, other = groups("one"), groups("two")
    document = _with(volume(id="data"), SPECS)
    attachment = node.attach(document, cgroup=str(group))
    assert (group / "io.max").read_text().startswith(_number(attachment.path) + " ")
    assert limits(group) == "rbps=5000000 wbps=9000000 riops=max wiops=100"
    assert (attachment.cgroup, attachment.qos_specs) == (str(group), SPECS)
    assert [each.cgroup for each in node.attachments()] == [str(group)]

    # An attach without a control group repairs the limits, with those of the newest document.
    newer = _with(document, {"read_iops_sec": 3})
    again = node.attach(newer)
    assert (again.changed, again.cgroup) == (False, str(group))
    assert limits(group) == "rbps=max wbps=max riops=3 wiops=max"
    moved = node.attached(newer, cgroup=str(other))
    assert moved is not None
    assert (moved.cgroup, limits(group)) == (str(other), UNLIMITED)
    assert limits(other) == "rbps=max wbps=max riops=3 wiops=max"
    node.attach(_with(document, None))
    assert limits(other) == UNLIMITED
    node.attach(newer)
    node.detach("data")
    assert limits(other) == UNLIMITED


@as_root
def test_a_volume_without_limits_has_none(
    node: Node, volume: Volume, groups: Callable[[str], Path]
) -> None:
    group = groups("one")
    document = volume(id="data")
    attachment = node.attach(document, cgroup=str(group))
    assert (attachment.cgroup, attachment.qos_specs) == (str(group), {})
    node.detach(document)
    assert (group / "io.max").read_text() == ""


@as_root
def test_a_control_group_that_ended_does_not_keep_a_volume(
    node: Node, volume: Volume, groups: Callable[[str], Path]
) -> None:
    group = groups("one")
    document = _with(volume(id="data"), SPECS)
    node.attach(document, cgroup=str(group))
    (group / "io.max").unlink()
    group.rmdir()
    assert node.attach(document).cgroup is None
    with pytest.raises(errors.InvalidInput, match="not a control group of cgroup v2"):
        node.attach(document, cgroup=str(group))
    assert node.detach(document)


@as_root
def test_what_cannot_be_limited_is_refused_untouched(
    node: Node, volume: Volume, groups: Callable[[str], Path], tmp_path: Path
) -> None:
    document = _with(volume(id="data"), SPECS)
    bare = tmp_path / "bare"
    bare.mkdir()
    for bad in ("relative", "/", "/a/../b", ""):
        with pytest.raises(errors.InvalidInput, match="absolute path"):
            node.attach(document, cgroup=bad)
    for missing in ("/proc/self", str(tmp_path / "missing"), "/dev/null"):
        with pytest.raises(errors.InvalidInput, match="not a control group of cgroup v2"):
            node.attach(document, cgroup=missing)
    with pytest.raises(errors.Unsupported, match=rf"\+io > {tmp_path}/cgroup.subtree_control"):
        node.attach(document, cgroup=str(bare))
    with pytest.raises(errors.InvalidDocument):
        node.attach(_with(document, {"read_iops_sec": "fast"}), cgroup=str(groups("one")))
    assert (node.attachments(), node.leftovers()) == ([], [])


@as_root
def test_a_failed_attach_leaves_no_limits(
    node: Node,
    volume: Volume,
    groups: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group, file = groups("one"), tmp_path / "file"
    file.write_text("a file")
    document = _with(volume(id="data"), SPECS)
    with pytest.raises(errors.AlreadyExists, match="not a symbolic link"):
        node.attach(document, cgroup=str(group), link=str(file))
    assert limits(group) == UNLIMITED

    def refuse(cgroup: str, *_: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    other = groups("two")
    monkeypatch.setattr(cgroups, "_write", refuse)
    with pytest.raises(errors.NodeError, match=r"limits of /dev/loop\d+ cannot be set in"):
        node.attach(document, cgroup=str(other))
    assert (node.attachments(), node.leftovers()) == ([], [])


@as_root
def test_a_block_device_that_exists_before_has_limits_only_while_attached(
    node: Node, volume: Volume, groups: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its device is not found again after an interrupted attach, but the limits are."""
    group = groups("one")
    file = volume("disk")["conn"]["data"]["device_path"]
    run = subprocess.run(
        ["losetup", "--find", "--show", file], capture_output=True, text=True, check=True
    )
    device = run.stdout.strip()
    try:
        data = {"device_path": device, "qos_specs": SPECS}
        document = {"conn": {"driver_volume_type": "local", "data": data}, "id": "disk"}
        limit = cgroups.limit

        def killed(*arguments: Any, **named: Any) -> None:
            limit(*arguments, **named)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(cgroups, "limit", killed)
            # After a kill, the undoing does not run either.
            patch.setattr("cinderlib.node.lifecycle.detach_device", lambda *_, **__: None)
            with pytest.raises(KeyboardInterrupt):
                node.attach(document, cgroup=str(group))
        assert "wiops=100" in limits(group)
        assert [each.connection_id for each in node.cleanup()] == ["disk"]
        assert limits(group) == UNLIMITED
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A new control group with ``io.max``."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    roots = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    able = [root for root in roots if "io" in (root / "cgroup.subtree_control").read_text().split()]
    if not able:
        pytest.skip("needs cgroup v2 with the controller 'io' (on by default with systemd)")
    group = able[0] / f"cinderlib-test-{os.getpid()}"
    group.mkdir()
    yield group
    group.rmdir()


@as_root
def test_the_kernel_has_thelimits(node: Node, volume: Volume, real_group: Path) -> None:
    document = _with(volume(id="data"), SPECS)
    attachment = node.attach(document, cgroup=str(real_group))
    expected = f"{_number(attachment.path)} rbps=5000000 wbps=9000000 riops=max wiops=100\n"
    assert (real_group / "io.max").read_text() == expected
    node.detach("data")
    assert (real_group / "io.max").read_text() == ""
