"""References that contain the ID of a managed volume, in the forms that drivers use."""

from __future__ import annotations

import pytest

from cinderlib.drivers import listing

ID = "6b5e4c1e-4f6a-4d84-9c1e-0f3a7f1f2b3c"


@pytest.mark.parametrize(
    "name",
    [
        f"volume-{ID}",
        f"OS_volume-{ID}",
        f"volume-{ID}-cinder",
        f"/vol/pool/volume-{ID}",
        ID.replace("-", ""),
        f"cinder-{ID[-12:]}",
        f"face{ID[-12:]}".upper(),
        f"os-{ID.replace('-', '')[:16]}",
    ],
)
def test_an_id_is_found(name: str) -> None:
    assert listing.has_part_of_id({"source-name": name})
    assert listing.contains_id({"source-name": name}, ID)


@pytest.mark.parametrize("name", ["disk1", "", f"volume-{ID}"[:18], "deadbeefdeadbeef", 7])
def test_another_name_is_not_taken_for_an_id(name: object) -> None:
    assert not listing.contains_id({"source-name": name}, ID)
