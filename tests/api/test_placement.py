"""The controller chooses the backend of a volume by the rules of Cinder's scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest
from api.conftest import LoadBackend

import cinderlib as cl
from cinderlib import errors

GIB = 1 << 30


@pytest.fixture
def two(load_backend: LoadBackend, tmp_path: Path) -> list[cl.Backend]:
    """Two backends; a type finds the second by a capability."""
    options = {"ssd": '{"tier": "ssd"}', "disk": '{"tier": "disk"}'}
    return [
        load_backend(
            name, volume_driver="file", file_root=str(tmp_path / name), extra_capabilities=extra
        )
        for name, extra in options.items()
    ]


def test_a_type_finds_its_backend(two: list[cl.Backend], controller: cl.Controller) -> None:
    for tier in ("ssd", "disk"):
        controller.create_type(tier, extra_specs={"tier": tier})
        volume = controller.create_volume(1, name=tier, type=tier)
        assert (volume.record.backend, volume.type_name, volume.changed) == (tier, tier, True)
    by_specs = controller.create_volume(1, extra_specs={"capabilities:tier": "<in> dis"})
    assert by_specs.record.backend == "disk"
    by_name = controller.create_volume(1, extra_specs={"volume_backend_name": "ssd"})
    assert by_name.record.backend == "ssd"


def test_a_repeated_call_finds_the_volume(two: list[cl.Backend], controller: cl.Controller) -> None:
    volume = controller.create_volume(1, name="a", backends=["disk"])
    again = controller.create_volume(1, name="a", id=volume.id)
    assert (again.id, again.record.backend, again.changed) == (volume.id, "disk", False)
    with pytest.raises(errors.AlreadyExists):
        controller.create_volume(2, name="a", id=volume.id)


def test_why_no_backend_fits(two: list[cl.Backend], controller: cl.Controller) -> None:
    with pytest.raises(errors.NoBackendFits) as refused:
        controller.create_volume(1, extra_specs={"tier": "tape"})
    for name in ("ssd", "disk"):
        assert f"{name}#{name}: it does not report the capabilities" in str(refused.value)
    with pytest.raises(errors.NoBackendFits, match=r"too small for 1000000000 GiB: .* free"):
        controller.create_volume(10**9)
    with pytest.raises(errors.NoBackendFits, match="multiattach=<is> True"):
        controller.create_volume(1, multiattach=True)
    with pytest.raises(errors.BackendNotFound):
        controller.create_volume(1, backends=["ssd", "nowhere"])
    with pytest.raises(errors.InvalidInput, match="omit host and pool_name"):
        controller.create_volume(1, host="h@ssd#ssd")
    assert list(controller.volumes()) == []


@pytest.mark.library(reason="options of backends")
def test_functions_of_drivers_decide(
    load_backend: LoadBackend, library: cl.Controller, tmp_path: Path
) -> None:
    for name, function, goodness in (
        ("small", "0", "90"),
        ("large", "1", "50"),
        ("any", "1", "20"),
    ):
        load_backend(
            name,
            volume_driver="file",
            file_root=str(tmp_path / name),
            filter_function=function,
            goodness_function=goodness,
        )
    both = library.create_volume(6, backends=["small", "large"])
    assert both.record.backend == "large"
    assert library.create_volume(6).record.backend in ("large", "any")
    with pytest.raises(errors.NoBackendFits, match="filter_function refuses the volume"):
        library.create_volume(6, backends=["small"])


@pytest.mark.library(reason="looks into the scheduler")
def test_placed_volumes_count_before_the_storage_reports_them(
    two: list[cl.Backend], library: cl.Controller
) -> None:
    chosen = [library.create_volume(100).record.backend for _ in range(6)]
    assert set(chosen) == {"ssd", "disk"}
