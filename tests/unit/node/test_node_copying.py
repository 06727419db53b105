"""Copies between attached volumes."""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import time

import pytest

from cinderlib.errors import NodeError
from cinderlib.node import copying

MIB = 1 << 20


def made(path: pathlib.Path, size: int, *data: tuple[int, bytes]) -> str:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, part in data:
            file.seek(offset)
            file.write(part)
    return str(path)


def digest(path: str) -> str:
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [64 * MIB, 64 * MIB + 4096 + 17, 100])
def test_the_target_is_equal_and_as_sparse_as_the_source(tmp_path, size):
    parts = [(offset, os.urandom(70_000)) for offset in (0, 20 * MIB) if size > 30 * MIB]
    source = made(tmp_path / "source", size, *parts, (size - 50, os.urandom(50)))
    target = made(tmp_path / "target", size, *((at * MIB, b"x" * MIB) for at in range(size // MIB)))
    seen = []
    copied = copying.copy(source, target, lambda done, total: seen.append((done, total)))
    assert digest(source) == digest(target)
    assert copied.size_bytes == size
    assert copied.data_bytes <= 6 * (64 << 10)  # what the parts touch
    assert os.stat(target).st_blocks * 512 <= copied.data_bytes + MIB
    assert (seen[0], seen[-1]) == ((0, size), (size, size))
    assert seen == sorted(seen)


def test_a_block_is_not_overwritten_by_the_next_one_while_it_is_written(tmp_path, monkeypatch):
    pwritev = os.pwritev

    def slow(*arguments):
        time.sleep(0.02)  # the next block is read meanwhile
        return pwritev(*arguments)

    monkeypatch.setattr(os, "pwritev", slow)
    source = made(tmp_path / "source", 30 * MIB, (0, os.urandom(30 * MIB)))
    target = made(tmp_path / "target", 30 * MIB)
    copied = copying.copy(source, target, lambda done, total: None)
    assert copied.data_bytes == 30 * MIB
    assert digest(source) == digest(target)


def test_what_is_behind_the_data_is_zeroed(tmp_path):
    source = made(tmp_path / "source", MIB, (0, b"data"))
    target = made(tmp_path / "target", 3 * MIB, (0, b"x" * 3 * MIB))
    copying.copy(source, target, lambda done, total: None)
    data = pathlib.Path(target).read_bytes()
    assert (data[:4], data[4:].strip(b"\0"), len(data)) == (b"data", b"", 3 * MIB)


def test_handles_are_copied(tmp_path):
    source, target = io.BytesIO(os.urandom(5 * MIB) + bytes(3 * MIB)), io.BytesIO(b"x" * 9 * MIB)
    copied = copying.copy(source, target, lambda done, total: None)
    assert target.getvalue() == source.getvalue() + bytes(MIB)
    assert copied.data_bytes == 5 * MIB


def test_a_smaller_target_is_not_changed(tmp_path):
    source = made(tmp_path / "source", 2 * MIB, (0, b"data"))
    target = made(tmp_path / "target", MIB, (0, b"kept"))
    with pytest.raises(NodeError, match="the target did not change"):
        copying.copy(source, target, lambda done, total: None)
    assert pathlib.Path(target).read_bytes()[:4] == b"kept"


@pytest.mark.parametrize("discards", [True, False])
@pytest.mark.parametrize("size", [130 * MIB, 64 * MIB + 4096 + 17, 100])
def test_a_wiped_file_has_only_zeros(tmp_path, monkeypatch, size, discards):
    if not discards:
        monkeypatch.setattr(copying.holes, "punch", lambda *range: False)
    parts = [(offset, b"data") for offset in (0, 63 * MIB, 129 * MIB, size - 4) if offset < size]
    target, seen = made(tmp_path / "target", size, *parts), []
    for _ in range(2):
        copying.wipe(target, lambda done, total: seen.append((done, total)))
        data = pathlib.Path(target).read_bytes()
        assert (len(data), data.count(0)) == (size, size)
    assert seen[-1] == (size, size)


def test_a_wiped_handle_has_only_zeros():
    target = io.BytesIO(os.urandom(5 * MIB))
    copying.wipe(target, lambda done, total: None)
    assert target.getvalue() == bytes(5 * MIB)


def test_a_wipe_of_a_device_that_fails_is_reported(tmp_path, monkeypatch):
    def fail(fd, offset, length):
        raise OSError(5, "Input/output error")

    target = made(tmp_path / "target", MIB, (0, b"data"))
    monkeypatch.setattr(copying.holes, "punch", fail)
    with pytest.raises(NodeError, match="Input/output error"):
        copying.wipe(target, lambda done, total: None)
