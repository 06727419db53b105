"""Drivers that sleep, take all memory, crash or fork in the service: requests for other backends
succeed meanwhile, and the volume of the interrupted call is usable afterwards."""

from __future__ import annotations

import pathlib

import pytest
from service.load import Load, over
from service.running import Service

# Each test starts a service.
pytestmark = pytest.mark.slow

BACKENDS = """
[backends.files]
volume_driver = "file"
file_root = "{folder}/volumes"
[backends.bad]
volume_driver = "api.misbehaving_driver.MisbehavingDriver"
file_root = "{folder}/bad"
isolation = "process"
call_timeout = 5
memory_limit = 1024
"""


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("sleep", (504, "DriverCallTimeout")),
        ("stop", (504, "DriverCallTimeout")),
        ("allocate", (503, "DriverInterrupted")),
        ("segfault", (503, "DriverInterrupted")),
        ("fork and return", (200, None)),
        ("fork and linger", (200, None)),
    ],
)
def test_a_driver_that_misbehaves_affects_only_its_call(
    folder: pathlib.Path, action: str, expected: tuple[int, str | None]
) -> None:
    service = Service(folder, backends=BACKENDS.format(folder=folder))
    body = {"backend": "bad", "size": 1, "id": "aaaaaaaa-0000-4000-8000-000000000001"}
    load = Load(over(str(service.socket)))
    with service.start():
        assert service.ask("GET", "/v1/backends/bad/stats")[0] == 200
        (folder / "bad" / ".request create_volume before").write_text(action)
        with load.running(4):
            status, answer = service.ask("POST", "/v1/volumes", body)
            assert (status, answer.get("error", {}).get("type")) == expected
            status, volume = service.ask("POST", "/v1/volumes", body)
            assert (status, volume["status"]) == (200, "available")
            path = f"/v1/volumes/{volume['id']}"
            assert service.ask("POST", f"{path}/extend", {"size": 2})[0] == 200
            assert service.ask("DELETE", path)[0] == 200
            load.more(20)
        assert load.failures == []
        assert service.stop() == 0
