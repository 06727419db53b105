"""oVirt's engine with its own client instead of our adapter: the client's calls with every
store."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

TESTS = pathlib.Path(__file__).parents[1]
DISK, COPY = (f"00000000-0000-4000-8000-{number:012}" for number in (1, 2))


class Client:
    """The client in a separate process."""

    def __init__(self, folder: pathlib.Path, persistence: dict[str, Any]) -> None:
        driver = {
            "volume_backend_name": "array",
            "volume_driver": "api.shared_array.SharedArray",
            "file_root": str(folder / "array"),
            "live_migration": "true",
        }
        program = str(pathlib.Path(__file__).with_name("engine_client.py"))
        self._process = subprocess.Popen(
            [sys.executable, program, json.dumps(driver), json.dumps(persistence), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
                "XDG_STATE_HOME": str(folder / "state"),
            },
        )

    def __call__(self, verb: str, *arguments: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([verb, *arguments]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"{verb} failed"
        return json.loads(answer)

    def close(self) -> int:
        assert self._process.stdin
        self._process.stdin.close()
        return self._process.wait(60)


@pytest.fixture(
    params=[
        "sqlite",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("memory", "postgresql", "mariadb")
        ),
    ]
)
def persistence(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> dict[str, Any]:
    if request.param == "memory":
        return {"storage": "memory"}
    url = (
        f"sqlite:///{tmp_path}/engine.sqlite"
        if request.param == "sqlite"
        else request.getfixturevalue(request.param).database()
    )
    return {"storage": "db", "connection": url}


@pytest.fixture
def client(tmp_path: pathlib.Path, persistence: dict[str, Any]) -> Iterator[Client]:
    client = Client(tmp_path, persistence)
    yield client
    assert client.close() == 0


def connector(host: str) -> str:
    return json.dumps(
        {"host": host, "ip": "192.0.2.1", "initiator": f"iqn.2026-11.org.example:{host}"}
    )


def mapped(folder: pathlib.Path) -> list[str]:
    """The hosts to which the array maps the disk."""
    path = folder / "array" / f".volume-{DISK}.maps"
    return json.loads(path.read_text())["hosts"] if path.exists() else []


def test_lifecycle_of_a_disk(client: Client, tmp_path: pathlib.Path) -> None:
    client("create_volume", DISK, "1")
    assert client("storage_stats", "True")["pools"][0]["total_capacity_gb"] > 0
    first = client("connect_volume", DISK, connector("one"))
    assert first["driver_volume_type"] == "iscsi"
    assert client("connect_volume", DISK, connector("one")) == first
    device = {"path": "/dev/dm-1", "type": "block", "multipath_id": "36001"}
    client("save_device", DISK, json.dumps(device))
    assert client("get_connection_info", DISK)["device"] == device

    # A live migration: the destination is connected while the source still is.
    client("connect_volume", DISK, connector("two"))
    client("save_device", DISK, json.dumps(device))
    assert mapped(tmp_path) == ["one", "two"]
    client("disconnect_volume", DISK)
    assert mapped(tmp_path) == ["two"]

    client("extend_volume", DISK, "2")
    snapshot = client("create_snapshot", DISK)
    restored = client("create_volume_from_snapshot", DISK, snapshot)
    client("clone_volume", DISK, COPY)
    client("disconnect_volume", DISK)
    assert mapped(tmp_path) == []
    client("remove_snapshot", snapshot, DISK)
    for id in (DISK, COPY, restored):
        client("delete_volume", id)
    assert [f for f in os.listdir(tmp_path / "array") if not f.startswith(".")] == []


@pytest.mark.slow
def test_concurrent_clients(tmp_path: pathlib.Path) -> None:
    """The engine starts a client for each verb without waiting for others."""
    persistence = {"storage": "db", "connection": f"sqlite:///{tmp_path}/engine.sqlite"}
    clients = [Client(tmp_path, persistence) for _ in range(2)]
    clients[0]("create_volume", DISK, "1")
    assert clients[1]("connect_volume", DISK, connector("one"))
    clients[0]("disconnect_volume", DISK)
    clients[1]("delete_volume", DISK)
    assert [client.close() for client in clients] == [0, 0]
