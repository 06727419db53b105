"""Volumes and snapshots by name, sizes in bytes, and capacities that are not waited for."""

from __future__ import annotations

import os
import pathlib

import pytest
from service.running import Service

GIB = 1024**3


def test_volumes_and_snapshots_are_given_by_name(service: Service) -> None:
    ask = service.ask
    body = {"backend": "files", "name": "by-name", "unique_name": True, "size_bytes": GIB + 1}
    status, volume = ask("POST", "/v1/volumes", body)
    assert (status, volume["size"]) == (200, 2)
    assert volume["metadata"] == {"requested_bytes": str(GIB + 1)}
    status, error = ask("POST", "/v1/volumes", body)
    assert (status, error["error"]["type"]) == (409, "AlreadyExists")
    path, name = "/v1/volumes/by-name", "?backend=files"
    assert ask("GET", f"{path}{name}")[1]["id"] == volume["id"]
    taken = {"volume_id": "by-name", "name": "a/b", "unique_name": True}
    assert ask("POST", f"/v1/snapshots{name}", taken)[0] == 200
    assert ask("POST", f"/v1/snapshots{name}", taken)[0] == 409
    status, copy = ask(
        "POST", f"/v1/volumes{name}&volume=by-name", {"snapshot_id": "a/b", "name": "by-name-copy"}
    )
    assert (status, copy["size"]) == (200, 2)
    assert ask("GET", f"{path}/revert-blockers{name}&snapshot_id=a/b") == (200, {"snapshots": []})
    assert ask("POST", f"{path}/revert{name}", {"snapshot_id": "a/b"})[0] == 200
    assert ask("POST", f"{path}/extend{name}", {"size_bytes": 2 * GIB + 1})[1]["size"] == 3
    changes = {"metadata_changes": {"requested_bytes": None, "notes": "new"}}
    assert ask("PATCH", f"{path}{name}", changes)[1]["metadata"] == {"notes": "new"}
    status, error = ask("PATCH", f"{path}{name}", {"name": "by-name-copy", "unique_name": True})
    assert (status, error["error"]["type"]) == (409, "AlreadyExists")
    _, found = ask("GET", f"/v1/volumes{name}&name_prefix=by-name-&limit=5")
    assert [each["name"] for each in found] == ["by-name-copy"]
    assert ask("DELETE", f"/v1/volumes/by-name-copy{name}")[0] == 200
    assert ask("DELETE", f"{path}{name}")[0] == 409
    status, answer = ask("DELETE", f"{path}{name}&snapshots=true")
    assert (status, answer["changed"]) == (200, True)
    status, answer = ask("DELETE", f"{path}{name}&snapshots=true")
    assert (status, answer["changed"]) == (200, False)
    status, error = ask("GET", f"{path}{name}")
    assert (status, error["error"]["message"]) == (
        404,
        "Volume 'by-name' does not exist on backend 'files'",
    )


@pytest.mark.slow
def test_ambiguous_names_are_refused(service: Service) -> None:
    made = [
        service.ask("POST", "/v1/volumes", {"backend": "files", "size": 1, "name": "twice"})[1]
        for _ in range(2)
    ]
    status, error = service.ask("DELETE", "/v1/volumes/twice?backend=files")
    assert (status, error["error"]["type"]) == (400, "InvalidInput")
    assert "use the ID" in error["error"]["message"]
    status, error = service.ask("GET", "/v1/snapshots/x?backend=files")
    assert (status, error["error"]["type"]) == (400, "InvalidInput")
    assert service.ask("GET", "/v1/volumes/twice?backend=other")[1]["error"]["type"] == (
        "BackendNotFound"
    )
    for each in made:
        assert service.ask("DELETE", f"/v1/volumes/{each['id']}")[0] == 200


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for loop devices")
def test_a_client_has_links_only_in_the_folder_for_them(folder: pathlib.Path) -> None:
    links = folder / "links"
    with Service(folder, service=f'links = "{links}"').start() as service:
        body = {"backend": "files", "size": 1, "name": "data"}
        service.ask("POST", "/v1/volumes", body)
        path = "/v1/volumes/data/attach?backend=files"
        for bad in ("/etc/x", f"{links}", f"{links}/../x", f"{links}/.x", f"{links}/a//b"):
            status, error = service.ask("POST", path, {"link": bad})
            assert (status, error["error"]["type"]) == (400, "InvalidInput"), bad
        status, attached = service.ask("POST", path, {"link": f"{links}/files/data"})
        assert status == 200
        assert os.readlink(links / "files/data") == attached["device"]["path"]
        assert service.ask("POST", "/v1/volumes/data/detach?backend=files", {})[0] == 200
        assert os.listdir(links / "files") == []


def test_the_capacity_of_a_backend(service: Service) -> None:
    status, known = service.ask("GET", "/v1/backends/files/capacity")
    assert (status, known["stale"], known["error"]) == (200, False, None)
    assert known["used_bytes"] == known["total_bytes"] - known["free_bytes"]
    assert service.ask("GET", "/v1/backends/files/capacity?pool=none")[0] == 400
    assert service.ask("GET", "/v1/backends/other/capacity")[0] == 409
