"""Attach and detach of a volume are calls for both halves: what is left of one that was interrupted
on this host is settled by whatever is asked of the connection next."""

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
    """A store that fails, whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise cl.errors.StoreError("the store is down")


def interrupt(controller: cl.Controller, step: str, call: Call, volume: cl.Volume) -> None:
    """A call of which the host does its step, and the store fails from there on until the call has
    ended."""
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
    """What it knows to be attached."""
    node = controller.local_host.node()
    return ["attached"] * len(node.attachments()) + [each.operation for each in node.leftovers()]


def connect_again(volume: cl.Volume) -> None:
    """For its own sake, so that nothing undoes it any more."""
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
        # Of a detach nothing is left to be detached.
        if (step, afterwards) != ("detach", "detach the connection")
    ],
)
def test_an_interrupted_call_for_both_halves(
    controller: cl.Controller,
    backend: cl.Backend,
    step: str,
    afterwards: str,
) -> None:
    volume = backend.create_volume(1)
    if step == "detach":
        volume.attach()
    interrupt(controller, step, lambda volume: getattr(volume, step)(), volume)
    assert on_this_host(controller) == (["attached"] if step == "attach" else [])

    call, status = AFTERWARDS[afterwards]
    call(controller.volume(volume.id))
    volume.refresh()
    assert volume.status == status
    attached = afterwards == "attach"
    assert [c.attached for c in volume.connections] == ([attached] if status == "in-use" else [])
    assert on_this_host(controller) == (["attached"] if attached else [])

    # Nothing of it comes back when all that was interrupted is settled.
    if afterwards != "detach the connection":
        assert controller.recover() == []
    volume.cleanup()
    if volume.connections:
        volume.disconnect(volume.connections[0])
    volume.delete()
    assert controller.store.find(IntentRecord) == []
    assert on_this_host(controller) == []


def test_recovery_keeps_off_a_connection_that_is_being_attached(
    controller: cl.Controller, backend: cl.Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_IF_DEAD", 0.05)
    volume = backend.create_volume(1)
    interrupt(controller, "attach", lambda volume: volume.attach(), volume)
    (whole,) = controller.store.find(IntentRecord)
    died = replace(whole, owner=Owner(host=this_host(), boot_id="earlier", pid=1, start_time=1))
    controller.store.apply(Put(died))
    held, asked = threading.Event(), threading.Event()

    def attach() -> None:
        with controller.journal.locks.hold(whole_call_intents.host_lock_name(whole.resource_id)):
            held.set()
            asked.wait(30)

    thread = threading.Thread(target=attach)
    thread.start()
    assert held.wait(30)
    try:
        (told,) = controller.recover()
    finally:
        asked.set()
        thread.join()
    assert (told.outcome, told.reason) == ("skipped", "it is running")
    assert on_this_host(controller) == ["attached"]
    (told,) = controller.recover()
    assert told.outcome == "undone"
    assert on_this_host(controller) == []
    volume.delete()
