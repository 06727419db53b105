"""``cinderlib backend``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from cinderlib.cli import completing, exits, output, sizes
from cinderlib.cli.app import App, backend_name
from cinderlib.cli.framework import Group, pass_app

_argument = click.argument(
    "name", required=False, metavar="[BACKEND]", shell_complete=completing.backends
)


@click.group(cls=Group)
def backend() -> None:
    """List, show and check the configured backends."""


@backend.command("list")
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
    if app.as_json:
        output.as_json_list(found)
        return
    rows = [
        (item["name"], item["volume_driver"] or "not configured", item["volumes"]) for item in found
    ]
    output.table(("NAME", "DRIVER", "VOLUMES"), rows)
    app.say_empty(rows, "backends")


def _driver(app: App, name: str) -> str | None:
    if name not in app.configuration.backends:
        return None
    return str(app.configuration.data["backends"][name]["volume_driver"])


@backend.command("show")
@_argument
@pass_app
def show(app: App, name: str | None) -> None:
    """Load a backend and show its driver, its options and its pools."""
    loaded = app.backend(name)
    facts: dict[str, Any] = {
        "name": loaded.id,
        "driver_version": loaded.driver.get_version(),
        "storage_protocol": loaded.stats().get("storage_protocol"),
        "pools": list(loaded.pool_names),
        "unsupported": [c.operation for c in loaded.capabilities().values() if not c.is_possible],
        "options": {k: v for k, v in loaded.config.items() if k != "volume_backend_name"},
    }
    if app.as_json:
        output.as_json(facts)
    else:
        output.details(facts)


@backend.command("capabilities")
@_argument
@pass_app
def capabilities(app: App, name: str | None) -> None:
    """Show which operations a backend can do.

    WAY is native (the driver does it), generic (cinderlib does it with other functions of the
    driver) or none. An operation that a backend cannot do is refused before any change.
    """
    found = app.backend(name).capabilities().values()
    if app.as_json:
        output.as_json_list(dataclasses.asdict(each) for each in found)
        return
    rows = [(each.operation, each.way, each.reason) for each in found]
    output.table(("OPERATION", "WAY", "REASON"), rows)


@backend.command("stats")
@_argument
@pass_app
def stats(app: App, name: str | None) -> None:
    """Show the current capacity of a backend's pools."""
    loaded = app.backend(name)
    found = loaded.stats(refresh=True)
    if app.as_json:
        output.as_json(found)
        return
    rows = [_pool(pool) for pool in found["pools"]]
    output.table(("POOL", "TOTAL", "FREE", "USED", "THIN", "MULTIATTACH"), rows)


def _pool(pool: dict[str, Any]) -> tuple[Any, ...]:
    total, free = pool.get("total_capacity_gb"), pool.get("free_capacity_gb")
    used = ""
    if isinstance(total, int | float) and isinstance(free, int | float) and total:
        used = f"{100 - 100 * free / total:.0f}%"
    return (
        pool["pool_name"],
        sizes.of_gib(total),
        sizes.of_gib(free),
        used,
        pool.get("thin_provisioning_support"),
        pool.get("multiattach"),
    )


@backend.command("check")
@click.argument("names", nargs=-1, metavar="[BACKEND]...", shell_complete=completing.backends)
@pass_app
def check(app: App, names: tuple[str, ...]) -> None:
    """Load backends and query their storage.

    By default, it checks all configured backends: the options, the setup of the driver, the
    connection to the storage, and the packages and commands that the driver can use. The exit code
    is 1 if a backend cannot be used.
    """
    app.configuration.require_file()
    findings = [_checked(app, name) for name in names or app.configuration.backends]
    if app.as_json:
        output.as_json(findings)
    else:
        rows = [
            (item["name"], "ok" if item["ok"] else "failed", item["message"]) for item in findings
        ]
        output.table(("NAME", "STATE", "DETAILS"), rows)
        app.say_empty(rows, "configured backends")
    if not all(item["ok"] for item in findings):
        click.get_current_context().exit(1)


def _checked(app: App, name: str) -> dict[str, Any]:
    from cinderlib.errors import CinderlibError

    found: dict[str, Any] = {
        "name": name,
        "ok": False,
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
    found["ok"] = True
    found["protocol"] = stats.get("storage_protocol")
    found["pools"] = [pool["pool_name"] for pool in stats["pools"]]
    message = f"{_text(found['protocol'])}, {sizes.counted({'pools': len(found['pools'])})}"
    if found["missing"]:
        message += f"; not installed: {', '.join(found['missing'])}"
    return {**found, "message": message}


def _text(protocol: Any) -> str:
    # Drivers with several protocols report a list.
    return ", ".join(protocol) if isinstance(protocol, list) else str(protocol or "no protocol")
