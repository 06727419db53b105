"""Existing volumes with drivers that fail, refuse, or rename: no volume loses its record."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from api.conftest import LoadBackend, connector, files
from api.play import Played, reset

import cinderlib as cl
from cinderlib import errors

EXISTING = {"source-name": "existing"}


@pytest.fixture
def play() -> Iterator[Played]:
    yield reset()
    reset()


@pytest.fixture
def managing(load_backend: LoadBackend, play: Played) -> cl.Backend:
    """An array with one existing volume, whose driver does not know which volumes exist."""
    backend = load_backend("played", volume_driver="api.played_drivers.ManagingDriver")
    play.storage["existing"] = 2.3
    return backend


@pytest.mark.slow
def test_the_changes_of_the_driver_are_stored(managing: cl.Backend, play: Played) -> None:
    volume = managing.manage_volume(EXISTING, extra_specs={"tier": "gold"}, metadata={"a": "1"})
    found = managing.controller.volume(volume.id)
    assert (found.size, found.provider_location) == (3, "there")
    assert (found.metadata, found.extra_specs) == ({"driver": "x"}, {"tier": "gold"})
    assert found.launched_at
    seen, reference = play.seen["manage_existing"]
    assert reference == EXISTING
    assert seen.volume_type.extra_specs == {"tier": "gold"}
    volume.unmanage()
    assert play.storage == {f"unmanaged-{volume.id}": 2.3}
    assert managing.volumes == []


def refusals() -> dict[str, Exception]:
    from cinder import exception

    return {
        "InvalidInput": exception.ManageExistingInvalidReference(existing_ref={}, reason="no"),
        "InvalidState": exception.ManageExistingAlreadyManaged(volume_ref="x"),
        "Unsupported": NotImplementedError("no"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["InvalidInput", "InvalidState", "Unsupported"])
@pytest.mark.parametrize("method", ["manage_existing_get_size", "manage_existing"])
def test_a_volume_that_the_driver_refuses_leaves_no_record(
    managing: cl.Backend, play: Played, method: str, kind: str
) -> None:
    play.fails[method] = refusals()[kind]
    with pytest.raises(getattr(errors, kind)):
        managing.manage_volume(EXISTING)
    assert managing.volumes == []
    assert managing.controller.recover() == []
    play.fails.clear()
    assert managing.manage_volume(EXISTING).status == "available"


@pytest.mark.parametrize("when", ["fails", "fails_after"])
def test_a_volume_that_may_be_renamed_keeps_its_record(
    managing: cl.Backend, play: Played, when: str
) -> None:
    getattr(play, when)["manage_existing"] = OSError("the array is busy")
    with pytest.raises(errors.DriverError) as caught:
        managing.manage_volume(EXISTING, name="web")
    (volume,) = managing.volumes
    assert volume.status == "error_managing"
    assert f"Volume {volume.id} stays as 'error_managing'" in caught.value.__notes__[0]
    # Its data is not deleted or replaced.
    for wrong in (volume.delete, lambda: managing.create_volume(3, id=volume.id)):
        with pytest.raises(errors.InvalidState, match="managing it from"):
            wrong()
    assert len(play.storage) == 1
    getattr(play, when).clear()
    if when == "fails":
        again = managing.manage_volume(EXISTING, name="web", id=volume.id)
        assert (again.status, again.changed) == ("available", True)
        again.disconnect(again.connect(connector("alpha")))
    else:
        volume.unmanage()
        assert managing.volumes == []
        assert play.storage == {f"unmanaged-{volume.id}": 2.3}


@pytest.mark.slow
def test_a_volume_that_the_driver_does_not_release_stays_usable(
    managing: cl.Backend, play: Played
) -> None:
    volume = managing.manage_volume(EXISTING)
    play.fails["unmanage"] = OSError("the array is busy")
    with pytest.raises(errors.DriverError) as caught:
        volume.unmanage()
    assert "still managed" in caught.value.__notes__[0]
    volume.refresh()
    assert volume.status == "available"
    volume.disconnect(volume.connect(connector("alpha")))
    play.fails.clear()
    volume.unmanage()


def test_a_driver_without_these_methods_is_not_asked(
    load_backend: LoadBackend, play: Played
) -> None:
    backend = load_backend("played", volume_driver="api.played_drivers.BareDriver")
    volume = backend.create_volume(1)
    play.calls.clear()
    for ask in (
        backend.manageable_volumes,
        backend.manageable_snapshots,
        lambda: backend.manage_volume(EXISTING),
        lambda: volume.manage_snapshot(EXISTING),
    ):
        with pytest.raises(errors.Unsupported, match="the driver BareDriver does not implement"):
            ask()
    assert play.calls == []
    assert backend.volumes == [volume]
    name = volume.name_in_storage
    volume.unmanage()
    assert (backend.volumes, play.storage) == ([], {name: 1})


def test_an_existing_volume_gets_one_record(backend: cl.Backend, root: Path) -> None:
    (root / "existing").write_bytes(b"data")
    together = threading.Barrier(4, timeout=60)

    def manage(number: int) -> cl.Volume | None:
        together.wait()
        try:
            return backend.manage_volume(EXISTING, name=str(number))
        except errors.InvalidInput:
            return None

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        (volume,) = filter(None, pool.map(manage, range(4)))
    assert backend.volumes == [volume]
    assert files(root) == [volume.name_in_storage]
    assert (root / volume.name_in_storage).stat().st_size == 1 << 30


@pytest.mark.slow
def test_arguments_are_checked_before_any_change(backend: cl.Backend, root: Path) -> None:
    (root / "existing").write_bytes(b"data")
    wrong: list[Callable[[], object]] = [
        lambda: backend.manage_volume(EXISTING, size=1),  # type: ignore[call-arg]
        lambda: backend.manage_volume(EXISTING, nmae="x"),  # type: ignore[call-arg]
        lambda: backend.manage_volume(EXISTING, pool_name="other"),
        lambda: backend.manage_volume({"source-name": "../existing"}),
        lambda: backend.manageable_volumes(sort_keys=["name"]),
        lambda: backend.manageable_volumes(limit=-1),
        lambda: backend.manageable_volumes(marker="existing"),  # type: ignore[arg-type]
    ]
    for ask in wrong:
        with pytest.raises((errors.InvalidInput, errors.DriverError)):
            ask()
    assert files(root) == ["existing"]
    assert backend.volumes == []
