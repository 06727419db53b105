"""``cinderlib driver``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from cinderlib import errors
from cinderlib.cli import completing, output, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.output_options import listing


@click.group(cls=Group)
def driver() -> None:
    """List drivers and show their options."""


@driver.command("list")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--usable", is_flag=True, help="List only drivers that can be loaded on this host.")
@listing(views.DRIVERS)
@pass_app
def list_(app: App, words: tuple[str, ...], usable: bool) -> None:
    """List the volume drivers of the installed Cinder.

    The list shows the requirements that are missing on this host.

    WORD limits the list to a vendor, product, protocol or name: netapp, "dell fc", 3par.
    """
    from cinderlib import drivers

    facts = ("name", "short_name", "vendor", "product", "class_fqn", "version", "supported")
    found: list[dict[str, Any]] = [
        {name: entry[name] for name in (*facts, "missing")}
        for entry in drivers.list_supported(options=False).values()
        if not words or drivers.matches(entry["class_fqn"], " ".join(words))
    ]
    if not found:
        text = " ".join(words)
        raise errors.NotFound(
            f"No driver matches {text!r}{drivers.suggestion(text)}", resource=text
        )
    if usable:
        found = [entry for entry in found if entry["supported"] and not entry["missing"]]
    app.list_items(sorted(found, key=lambda item: (views.family(item), str(item["short_name"]))))


def _all() -> dict[str, dict[str, Any]]:
    from cinderlib import drivers

    return drivers.list_supported()


@driver.command("show")
@click.argument("name", shell_complete=completing.drivers)
@click.option(
    "--all", "everything", is_flag=True, help="Also show the options that all drivers have."
)
@pass_app
def show(app: App, name: str, everything: bool) -> None:
    """Show a driver, what its backends can do, and its options.

    NAME is its short name, class, or full path of the class. You can also specify a vendor or
    product that has only one driver.
    """
    from cinderlib.operations import capabilities

    drivers = _all()
    entry = _named(drivers, name)
    entry["capabilities"] = capabilities.ways(entry.pop("lacks"))
    if not everything:
        shared = _shared(drivers)
        own = [item for item in entry["driver_options"] if item["name"] not in shared]
        entry = {**entry, "driver_options": own or entry["driver_options"]}
    if app.as_json:
        output.as_json(entry)
        return
    facts = (
        *("name", "short_name", "vendor", "product", "class_fqn", "version", "supported"),
        *("desc", "missing"),
    )
    # A description is a docstring in reStructuredText.
    description = (entry["desc"] or "").replace("``", "")
    shown = {fact: entry[fact] for fact in facts} | {"desc": description}
    output.details(shown | _operations(entry["capabilities"]))
    click.echo()
    for line in _options(entry["driver_options"]):
        click.echo(line)
    if not everything:
        app.say("Add --all to show the options that all drivers have.")


def _operations(capabilities: Mapping[str, str]) -> dict[str, str]:
    """The operations for each way, in lines that fit a terminal of 80 columns."""
    titles = {"native": "native", "generic": "generic", "none": "impossible"}
    found = {
        title: " ".join(name for name, way in capabilities.items() if way == wanted)
        for wanted, title in titles.items()
    }
    return {title: click.wrap_text(text, width=64) for title, text in found.items() if text}


def _named(listed: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    from cinderlib import drivers

    for entry in listed.values():
        names = (entry["name"], entry["short_name"], entry["class_name"], entry["class_fqn"])
        if name in names or name.lower().replace("-", "_") == entry["short_name"]:
            return entry
    matching = drivers.search(name)
    if len(matching) == 1:
        return next(entry for entry in listed.values() if entry["class_fqn"] in matching)
    raise errors.NotFound(
        f"Driver {name!r} does not exist{drivers.suggestion(name)}", resource=name
    )


def _shared(drivers: Mapping[str, dict[str, Any]]) -> set[str]:
    """The names of the options that all drivers have."""
    names = [{o["name"] for o in e["driver_options"]} for e in drivers.values()]
    return set.intersection(*[found for found in names if found])


def _options(options: list[dict[str, Any]]) -> Iterator[str]:
    # Required options first.
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
