from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cinderlib.node import Node, loop


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(state_path=tmp_path / "state")


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Callable[..., dict[str, Any]]]:
    """Creates connection documents of files. Removes and reports devices that a test leaves
    attached."""
    files: list[Path] = []

    def make(name: str = "volume", size: int = 8 << 20, **fields: Any) -> dict[str, Any]:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        os.truncate(file, size)
        files.append(file)
        data = {"device_path": str(file)}
        return {"conn": {"driver_volume_type": "local", "data": data}, **fields}

    yield make
    left = [
        (trace.name, str(file))
        for file in files
        for trace in loop.devices_of(loop.Source.of(str(file)))
    ]
    for name, file in left:
        loop.remove(f"/dev/{name}", loop.Source.of(file))
    assert not left, f"the test left {left} behind"
