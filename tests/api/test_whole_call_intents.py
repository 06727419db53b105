"""Attach and detach of a volume involve controller and node. If such a call was interrupted on this
host, the next operation on the connection settles it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

import cinderlib as cl
from cinderlib.locking.process_identity import this_host
from cinderlib.operations import recovery, whole_call_intents
from cinderlib.persistence.base import Put
from cinderlib.records import IntentRecord, Owner, replace

Call = Callable[[cl.Volume], Any]


class Down:
    """A store in which every operation fails."""

    def __getattr__(self, name: str) -> Any:
        raise cl.errors.StoreError("the store is down")


def interrupt(controller: cl.Controller, step: str, call: Call, volume: cl.Volume) -> None:
    """Run a call in which the store fails after the step on the host until the call ends."""
    with pytest.MonkeyPatch.context() as patch:
        work = getattr(controller.local_host, step)

        def done(*arguments: Any, **options: Any) -> Any:
            result = work(*arguments, **options)
            patch.setattr(controller.journal, "store", Down())
            return result

        patch.setattr(controller.local_host, step, done)
        with pytest.raises(cl.errors.StoreError):
            call(volume)


def on_this_host(controller: cl.Controller) -> list[str]:
    """The attachments and leftovers that this host has recorded."""
    node = controller.local_host.node()
    return ["attached"] * len(node.attachments()) + [each.operation for each in node.leftovers()]


def connect_again(volume: cl.Volume) -> None:
    """Connect explicitly, so that the connection is kept."""
    controller = volume._controller
    connector = controller.local_connector(controller.loaded("here"))
    assert not volume.connect(connector).attached


AFTERWARDS: dict[str, tuple[Call, str]] = {
    "attach": (lambda volume: volume.attach(), "in-use"),
    "detach": (lambda volume: volume.detach(), "available"),
    "connect": (connect_again, "in-use"),
    "detach the connection": (lambda volume: volume.connections[0].detach(), "in-use"),
    "disconnect": (lambda volume: volume.disconnect(volume.connections[0]), "available"),
    "recover": (lambda volume: volume._controller.recover(), "available"),
}


@pytest.mark.parametrize(
    ("step", "afterwards"),
    [
        (step, afterwards)
        for step in ("attach", "detach")
        for afterwards in AFTERWARDS
        # After a detach there is no attachment to detach.
        if (step, afterwards) != ("detach", "detach the connection")
    ],
)
def test_an_interrupted_whole_call_is_settled(
    controller: cl.Controller,
    library: cl.Controller,
    backend: cl.Backend,
    step: str,
    afterwards: str,
) -> None:
    volume = backend.create_volume(1)
    if step == "detach":
        volume.attach()
    interrupt(library, step, lambda volume: getattr(volume, step)(), volume)
    assert on_this_host(library) == (["attached"] if step == "attach" else [])

    call, status = AFTERWARDS[afterwards]
    call(controller.volume(volume.id))
    volume.refresh()
    assert volume.status == status
    attached = afterwards == "attach"
    assert [c.attached for c in volume.connections] == ([attached] if status == "in-use" else [])
    assert on_this_host(library) == (["attached"] if attached else [])

    # Everything is settled, and recovery does not restore any of it.
    if afterwards != "detach the connection":
        assert controller.recover() == []
    volume.cleanup()
    if volume.connections:
        volume.disconnect(volume.connections[0])
    volume.delete()
    assert library.store.find(IntentRecord) == []
    assert on_this_host(library) == []
    recovered = [each for each in library.history() if each.recovered_by is not None]
    outcome = "finished" if step == "detach" or attached else "undone"
    assert [(each.operation, each.outcome) for each in recovered] == [(f"volume.{step}", outcome)]


def test_recovery_skips_a_connection_during_an_attach(
    controller: cl.Controller,
    library: cl.Controller,
    backend: cl.Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_IF_DEAD", 0.05)
    volume = backend.create_volume(1)
    interrupt(library, "attach", lambda volume: volume.attach(), volume)
    (whole,) = library.store.find(IntentRecord)
    died = replace(whole, owner=Owner(host=this_host(), boot_id="earlier", pid=1, start_time=1))
    library.store.apply(Put(died))
    held, asked = threading.Event(), threading.Event()

    def attach() -> None:
        with library.journal.locks.hold(whole_call_intents.host_lock_name(whole.resource_id)):
            held.set()
            asked.wait(30)

    thread = threading.Thread(target=attach)
    thread.start()
    assert held.wait(30)
    try:
        (recovered,) = controller.recover()
    finally:
        asked.set()
        thread.join()
    assert (recovered.outcome, recovered.reason) == ("skipped", "it is running")
    assert on_this_host(library) == ["attached"]
    (recovered,) = controller.recover()
    assert recovered.outcome == "undone"
    assert on_this_host(library) == []
    volume.delete()
