"""A service in the process of a case, and a client in another process."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
from collections.abc import Callable
from typing import Any

from points import Points
from scenarios import Scenario
from world import World

import cinderlib as cl
from cinderlib.service.app import Application
from cinderlib.service.backends import Backends
from cinderlib.service.calls import Call
from cinderlib.service.metrics import Metrics
from cinderlib.service.options import Options
from cinderlib.service.server import Server


class RemoteWorld:
    """What a scenario needs of a world, through a connection to a service."""

    def __init__(self, world: World, url: str, state: pathlib.Path) -> None:
        self._world = world
        self.cgroup = world.cgroup
        self.controller = cl.connect(url, state_path=str(state))
        self.backend = self.controller.backend("array")

    def volume(self, id: str) -> Any:
        return self.controller.volume(id)

    def connector(self, host: str) -> dict[str, Any]:
        return self._world.connector(host)


def serve(
    world: World,
    scenario: Scenario,
    at: tuple[int, str] | None = None,
    action: Callable[[Points, str], None] | None = None,
) -> int:
    """Run a service until the client, which plays the scenario, has ended.

    :param at: the step of the call, in the service, for the action.
    :param action: gets the points and the name of the step.
    :returns: the exit code of the client, or the number of the signal that ended it, negative.
    """
    folder = world.root / "service"
    folder.mkdir()
    path = folder / "s"
    client = os.fork()
    if not client:
        _play(world, scenario, path)
    points = world.points
    points.arm(at, lambda points, name: _act(action, points, name, client))
    points.disarm()
    _count_calls(points)
    backends = Backends(world.controller, list(world.controller.backends), lambda name: {})
    application = Application(backends, Metrics(), threads=2)
    server = Server(application, Options(socket=path, stop_timeout=60.0), reload=lambda: None)
    ended: list[int] = []

    def watch() -> None:
        ended.append(os.waitstatus_to_exitcode(os.waitpid(client, 0)[1]))
        # As systemd stops it: a call that runs is finished.
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch).start()
    server.run()
    return ended[0]


def _act(
    action: Callable[[Points, str], None] | None, points: Points, name: str, client: int
) -> None:
    if action is None:
        os.kill(client, signal.SIGKILL)
    else:
        action(points, name)


def _count_calls(points: Points) -> None:
    """Count the steps in the threads that work on calls."""
    run = Call.run

    def counted(call: Call, work: Callable[[], Any]) -> None:
        points.resume()
        try:
            run(call, work)
        finally:
            points.disarm()

    Call.run = counted  # type: ignore[method-assign]


def _play(world: World, scenario: Scenario, path: pathlib.Path) -> None:
    """Be the client. Exits with 0, with 1 after an error of the library, with 2 after another."""
    code = 2
    with contextlib.suppress(BaseException):
        while not path.exists():
            threading.Event().wait(0.01)
        try:
            scenario.start(RemoteWorld(world, f"unix://{path}", world.root / "client"))()  # type: ignore[arg-type]
            code = 0
        except cl.errors.CinderlibError:
            code = 1
    os._exit(code)
