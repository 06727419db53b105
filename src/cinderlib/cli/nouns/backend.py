"""``cinderlib backend``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import completing, exits, items, pools, sizes, views
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.failures import Failures
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.output_options import listing, single

if TYPE_CHECKING:
    from cinderlib.objects.replicating import Replication

argument = click.argument(
    "name", required=False, metavar="[BACKEND]", shell_complete=completing.backends
)

_arguments = click.argument(
    "names", nargs=-1, metavar="[BACKEND]...", shell_complete=completing.backends
)


_VERBS = {
    "failback": "backend_replication:failback",
    "failover": "backend_replication:failover",
    "freeze": "backend_replication:freeze",
    "thaw": "backend_replication:thaw",
}


@click.group(cls=Group, verbs=_VERBS)
def backend() -> None:
    """List, show, check and fail over the configured backends."""


@backend.command("list")
@listing(views.BACKENDS)
@pass_app
def list_(app: App) -> None:
    """List the backends of the configuration and of the store."""
    app.configuration.require_file()
    counts: dict[str, int] = dict.fromkeys(app.configuration.backends, 0)
    for volume in app.controller.volumes():
        name = backend_name(volume)
        counts[name] = counts.get(name, 0) + 1
    found = [
        {"name": name, "volume_driver": _driver(app, name), "volumes": count}
        for name, count in counts.items()
    ]
    app.list_items(found)


def _driver(app: App, name: str) -> str | None:
    if name not in app.configuration.backends:
        return None
    return str(app.configuration.data["backends"][name]["volume_driver"])


@backend.command("show")
@argument
@single(views.BACKEND)
@pass_app
def show(app: App, name: str | None) -> None:
    """Load a backend and show its driver, options and pools."""
    loaded = app.backend(name)
    facts: dict[str, Any] = {
        "name": loaded.id,
        "driver_version": loaded.driver_info.version,
        "storage_protocol": loaded.stats().get("storage_protocol"),
        "pools": list(loaded.pool_names),
        "replication": _replication(loaded.replication),
        "unsupported": [c.operation for c in loaded.capabilities().values() if not c.is_possible],
        "options": {k: v for k, v in loaded.config.items() if k != "volume_backend_name"},
    }
    app.show(facts)


def _replication(state: Replication) -> dict[str, Any]:
    return {**state.stats(), "targets": list(state.targets)}


@backend.command("capabilities")
@argument
@listing(views.CAPABILITIES)
@pass_app
def capabilities(app: App, name: str | None) -> None:
    """Show which operations a backend can do.

    WAY is native (the driver does it), generic (cinderlib does it with other functions of the
    driver) or none. An operation that a backend cannot do is refused before any change.
    """
    app.list_items(map(dataclasses.asdict, app.backend(name).capabilities().values()))


@backend.command("stats")
@_arguments
@listing(views.POOLS)
@pass_app
def stats(app: App, names: tuple[str, ...]) -> None:
    """Show the current capacity of pools.

    By default, it queries all configured backends.
    The exit code is that of the worst error if the storage of a backend cannot be queried.
    """
    app.configuration.require_file()
    chosen = names or tuple(app.configuration.backends)
    failures = Failures(app, len(chosen))

    def found() -> Iterator[dict[str, Any]]:
        for name in chosen:
            with failures.of(f"backend {name}"), app.working(f"Querying the storage of {name}"):
                yield from list(pools.items(app.backend(name)))

    app.list_items(found())
    failures.end()


@backend.command("check")
@_arguments
@listing(views.CHECKS)
@pass_app
def check(app: App, names: tuple[str, ...]) -> None:
    """Load backends and query their storage.

    By default, it checks all configured backends: the options, the setup of the driver, the
    connection to the storage, and the packages and commands that the driver can use. The exit code
    is 1 if a backend cannot be used.
    """
    app.configuration.require_file()
    findings = [_checked(app, name) for name in names or app.configuration.backends]
    app.list_items(findings)
    if not all(item["ok"] for item in findings):
        click.get_current_context().exit(1)


def _checked(app: App, name: str) -> dict[str, Any]:
    from cinderlib.errors import CinderlibError

    found: dict[str, Any] = {
        "name": name,
        "ok": False,
        "state": "failed",
        "protocol": None,
        "pools": [],
        "missing": [],
    }
    try:
        options = app.configuration.backend(name)
        found["missing"] = app.own_controller.check_backend(name, **options)
        with app.working(f"Querying the storage of {name}"):
            stats = app.backend(name).stats(refresh=True)
    except CinderlibError as error:
        return {**found, "message": exits.one_line(error)}
    found["ok"], found["state"] = True, "ok"
    found["protocol"] = stats.get("storage_protocol")
    found["pools"] = [pool["pool_name"] for pool in stats["pools"]]
    message = f"{_text(found['protocol'])}, {sizes.counted({'pools': len(found['pools'])})}"
    if found["missing"]:
        message += f"; not installed: {', '.join(found['missing'])}"
    return {**found, "message": message}


def _text(protocol: Any) -> str:
    # Drivers with several protocols report a list.
    return ", ".join(protocol) if isinstance(protocol, list) else str(protocol or "no protocol")


@backend.command("restore-exports")
@argument
@listing(views.VOLUMES)
@pass_app
def restore_exports(app: App, name: str | None) -> None:
    """Export the connected volumes of a backend again.

    Use it after the storage, or the host that exports the volumes, has restarted and lost the
    exports. Hosts find their volumes again. Existing exports do not change.
    """
    loaded = app.backend(name)
    with app.working(f"Exporting the volumes of {loaded.id}"):
        restored = loaded.restore_exports()
    if app.form.format:
        app.list_items(map(items.volume, restored))
    else:
        app.say(f"Exported {sizes.counted({'volumes': len(restored)})} of backend {loaded.id}.")
