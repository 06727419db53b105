"""``cinderlib driver``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import click

from cinderlib import errors
from cinderlib.cli import completing, output
from cinderlib.cli.app import App
from cinderlib.cli.framework import Group, pass_app


@click.group(cls=Group)
def driver() -> None:
    """Drivers: what the installed Cinder has, and what each needs."""


@driver.command("list")
@click.option("--usable", is_flag=True, help="Only those that can be loaded here as it is.")
@pass_app
def list_(app: App, usable: bool) -> None:
    """List the volume drivers, and what they lack on this host."""
    found: list[dict[str, Any]] = [
        {name: entry.get(name) for name in ("name", "short_name", "class_fqn", "version")}
        | {"supported": entry["supported"], "missing": entry.get("missing", [entry["state"]])}
        for entry in _all().values()
    ]
    if usable:
        found = [entry for entry in found if entry["supported"] and not entry["missing"]]
    if app.as_json:
        output.as_json_list(found)
        return
    rows = [
        (
            entry["short_name"] or entry["name"],
            entry["class_fqn"],
            entry["version"],
            "yes" if entry["supported"] else "no",
            ", ".join(entry["missing"]),
        )
        for entry in sorted(found, key=lambda item: str(item["short_name"] or item["name"]))
    ]
    output.table(("NAME", "CLASS", "VERSION", "SUPPORTED", "MISSING HERE"), rows)


def _all() -> dict[str, dict[str, Any]]:
    from cinderlib import drivers

    return drivers.list_supported()


@driver.command("show")
@click.argument("name", shell_complete=completing.drivers)
@click.option("--all", "everything", is_flag=True, help="Also the options that all drivers have.")
@pass_app
def show(app: App, name: str, everything: bool) -> None:
    """Show a driver and its options: type, default, whether required, meaning.

    NAME is its short name, its class, or the class's full path.
    """
    drivers = _all()
    entry = _named(drivers, name)
    if not everything:
        shared = _shared(drivers)
        own = [item for item in entry["driver_options"] if item["name"] not in shared]
        entry = {**entry, "driver_options": own or entry["driver_options"]}
    if app.as_json:
        output.as_json(entry)
        return
    facts = ("name", "short_name", "class_fqn", "version", "supported", "desc", "missing")
    output.details({fact: entry.get(fact) for fact in facts})
    click.echo()
    for line in _options(entry["driver_options"]):
        click.echo(line)
    if not everything:
        app.say("\nOptions that every driver has are shown with --all.")


def _named(drivers: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    for entry in drivers.values():
        names = (entry["name"], entry["short_name"], entry["class_name"], entry["class_fqn"])
        if name in names:
            return entry
    known = [str(n) for e in drivers.values() for n in (e["short_name"], e["name"]) if n]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; `cinderlib driver list` shows all"
    raise errors.NotFound(f"There is no driver {name!r}{hint}", resource=name)


def _shared(drivers: Mapping[str, dict[str, Any]]) -> set[str]:
    """The names of the options that all drivers have."""
    names = [{o["name"] for o in e["driver_options"]} for e in drivers.values()]
    return set.intersection(*[found for found in names if found])


def _options(options: list[dict[str, Any]]) -> Iterator[str]:
    # What must be given first.
    for option in sorted(options, key=lambda item: (not item["required"], item["name"])):
        kind = option["type"]["type_name"].removesuffix(" value") or option["type"]["type_class"]
        marks = [kind]
        if option["required"]:
            marks.append("required")
        if option["secret"]:
            marks.append("secret")
        if option["default"] is not None:
            marks.append(f"default {output.text(option['default']) or 'empty'}")
        if option["choices"]:
            marks.append("one of " + ", ".join(map(output.text, option["choices"])))
        yield f"{click.style(option['name'], bold=True)}  ({'; '.join(marks)})"
        yield click.wrap_text(
            " ".join((option["help"] or "").split()),
            width=96,
            initial_indent="    ",
            subsequent_indent="    ",
        )
