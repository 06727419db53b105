"""``cinderlib service``: the running service."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli import writing
from cinderlib.cli.app import App
from cinderlib.cli.form import Form
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.view import View

if TYPE_CHECKING:
    import cinderlib as cl


@click.group(cls=Group)
def service() -> None:
    """Show and reload the running service."""


@service.command("status")
@pass_app
def status(app: App) -> None:
    """Show the service, its backends, and its running calls."""
    found = _running(app).status()
    if app.as_json:
        app.write(found)
        return
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found["started_at"]))
    _table(_SERVICE, [{**found, "service": f"cinderlib {found['version']}", "started": started}])
    _table(_STATES, [{**each, "state": each["error"] or _state(loaded=each["loaded"])}
                     for each in found["states"]])  # fmt: skip
    now = time.time()
    _table(_CALLS, [{**call, "seconds": round(now - call["started_at"])}
                    for call in found["running"]])  # fmt: skip


_SERVICE = View(
    "services", ("service", "pid", "started", "configuration"), titles={"pid": "PROCESS"}
)
_STATES = View("backends", ("name", "driver", "state"), titles={"name": "BACKEND"}, prose="state")
_CALLS = View("calls", ("verb", "client", "seconds"), titles={"verb": "RUNNING"})


def _table(view: View, items: list[dict[str, Any]]) -> None:
    writing.listing(view, items, Form())


def _state(*, loaded: bool) -> str:
    return "loaded" if loaded else "loaded on first use"


@service.command("reload")
@pass_app
def reload(app: App) -> None:
    """Have the service read its configuration again.

    Running calls keep their drivers. An invalid configuration changes nothing.
    """
    running = _running(app)
    with app.working("Reloading"):
        running.reload()
    app.say(f"Reloaded: {', '.join(running.backends) or 'no backends'}.")
    if app.as_json:
        app.write(running.status())


def _running(app: App) -> cl.RemoteController:
    """:raises ServiceUnavailable: no service with this configuration runs."""
    found: cl.RemoteController | None = app.service
    if found is None:
        raise errors.ServiceUnavailable(
            "No service with this configuration runs, or its socket does not permit access: start"
            " it with `cinderlib serve`, or `systemctl start cinderlib`"
        )
    return found
