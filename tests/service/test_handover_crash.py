"""A service killed at any step while it is replaced, with clients that call: every call that was
answered is done, every other one reports an error, and the socket has a service again."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import sys
import threading
import uuid
from collections.abc import Iterator

import pytest
from service.running import Service

import cinderlib as cl

# Each test starts two or three services.
pytestmark = pytest.mark.slow

DYING = (sys.executable, str(pathlib.Path(__file__).with_name("dying_service.py")))

#: Steps of the new service, and who answers after its death. Once the running service has agreed
#: to stop, nobody does until the next start.
OF_THE_NEW = {
    "Successor.of before": "the running one",
    "Successor.of after": "the running one",
    "Server._load before": "the running one",
    "Server._load after": "the running one",
    "Sockets.take_over before": "the running one",
    "UnixListener.permit after": "the running one",
    "Successor.listening before": "the running one",
    "the message sent": "nobody",
    "Successor.listening after": "nobody",
    "WarmProcesses.publish before": "nobody",
    "WarmProcesses.publish after": "nobody",
    "Sockets.offer before": "nobody",
    "Sockets.offer after": "nobody",
    "notify before": "nobody",
    "notify after": "nobody",
}
#: Steps of the running service. The new one ends if the running one has not agreed.
OF_THE_RUNNING = {
    "Predecessor._hand_over before": "nobody",
    "send_fds before": "nobody",
    "send_fds after": "nobody",
    "PathSocket.remove before": "nobody",
    "PathSocket.remove after": "nobody",
    "Predecessor._hand_over after": "the new one",
    "Server._replaced before": "the new one or nobody",
    "Server._replaced after": "the new one or nobody",
    "Predecessor.close before": "the new one or nobody",
    "Predecessor.close after": "the new one or nobody",
    "Sockets.close before": "the new one",
    "Sockets.close after": "the new one",
    "WarmProcesses.stop before": "the new one",
    "WarmProcesses.stop after": "the new one",
}


class Clients:
    """Threads that create and delete volumes through the service.

    :ivar made: the IDs of the volumes that the service created, by its answers.
    :ivar deleted: the IDs of those that it deleted.
    :ivar refused: IDs of calls that reported an error.
    :ivar wrong: other failures.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(4)]
        self.made: list[str] = []
        self.deleted: list[str] = []
        self.refused: list[str] = []
        self.wrong: list[str] = []

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            self.more()
            yield
            self.more()
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(100)
        assert not any(thread.is_alive() for thread in self._threads), "a call has no answer"

    def more(self) -> None:
        """Wait for more successful calls."""
        until = len(self.made) + 8
        while len(self.made) < until and not self.wrong:
            threading.Event().wait(0.02)

    def _work(self) -> None:
        try:
            with cl.connect(self._url) as controller:
                files = controller.backend("files")
                while not self._stop.is_set():
                    id = str(uuid.uuid4())
                    try:
                        volume = files.create_volume(1, id=id)
                        self.made.append(id)
                        if len(self.made) % 2:
                            volume.delete()
                            self.deleted.append(id)
                    except cl.errors.ServiceUnavailable:
                        self.refused.append(id)
                        self._stop.wait(0.05)
        except Exception as exc:
            self.wrong.append(repr(exc))


@pytest.mark.parametrize(
    ("dies", "step"),
    [("new", step) for step in OF_THE_NEW] + [("running", step) for step in OF_THE_RUNNING],
)
def test_killed_at_any_step_of_a_replacement(folder: pathlib.Path, dies: str, step: str) -> None:
    running, reached = Service(folder), folder / "reached"
    new, later = running.next(), running.next()
    killed = (*DYING, step, str(reached))
    clients = Clients(running.url)
    with contextlib.ExitStack() as stack:
        for each in (running, new, later):
            stack.enter_context(each)
        running.start(program=killed if dies == "running" else ())
        with clients.calling():
            # It ends without a report if it is killed or not allowed to replace the other.
            with contextlib.suppress(AssertionError):
                new.start("--replace", program=killed if dies == "new" else ())
            assert new.process is not None
            assert running.process is not None
            victim, other = (new, running) if dies == "new" else (running, new)
            assert victim.process is not None
            assert other.process is not None
            assert victim.process.wait(60) == -signal.SIGKILL
            assert reached.exists()
            serves = (OF_THE_NEW if dies == "new" else OF_THE_RUNNING)[step]
            if serves == "the running one":
                # It is as if nobody had tried to replace it.
                assert clients.refused == []
            has_ended = other.process.poll() is not None
            if serves == "nobody" or (serves.endswith("nobody") and has_ended):
                assert other.process.wait(100) in (0, 2)
                other = later
                other.start("--replace")
            clients.more()
            assert other.ask("GET", "/v1/service")[1]["pid"] == other.process.pid
        assert clients.wrong == []
        agrees(other, clients)
        assert other.stop() == 0
    # A later start removes those that never got their path.
    left = [path.name for path in folder.iterdir() if path.is_socket()]
    assert [name for name in left if not name.startswith(".")] == []


def agrees(service: Service, clients: Clients) -> None:
    """Check that the store and the storage have exactly what the answers report."""
    with cl.connect(service.url) as controller:
        assert {done.outcome for done in controller.recover()} <= {"finished", "undone"}
        there = {volume.id: volume.status for volume in controller.volumes()}
        assert set(there.values()) <= {"available"}
        certain = set(clients.made) - set(clients.refused)
        assert certain & set(there) == certain - set(clients.deleted)
        # Calls that reported an error can be repeated.
        for id in clients.refused:
            if id not in clients.deleted:
                controller.backend("files").create_volume(1, id=id)
        on_storage = sorted(path.name for path in service.volumes.glob("volume-*"))
        assert on_storage == sorted(f"volume-{volume.id}" for volume in controller.volumes())
        assert controller.recover() == []
