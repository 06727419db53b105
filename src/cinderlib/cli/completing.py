"""Shell completion of names, from the store and the configuration. It never queries the storage and
never loads Cinder."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cinderlib.cli.app import App

if TYPE_CHECKING:
    import cinderlib as cl

#: A name that a shell does not need to quote; other resources are completed by their ID.
_PLAIN = re.compile(r"[\w.@%+=/-]+", re.ASCII)
#: Completions at most.
_MOST = 200

#: Names, each with a short description.
Names = Iterator[tuple[str, str]]
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(names: Callable[[App, str], Names]) -> Completer:
    """A completion function for click: names with the typed prefix, without those that are already
    on the command line."""

    def complete(
        ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        given = ctx.params.get(param.name or "")
        present = given if isinstance(given, tuple) else ()
        # Messages would appear in the command line.
        logging.disable()
        try:
            with ctx.ensure_object(App) as app:
                app.quiet = True
                found = (
                    CompletionItem(name, help=help)
                    for name, help in names(app, incomplete)
                    if name.startswith(incomplete) and name not in present
                )
                return list(itertools.islice(found, _MOST))
        except Exception:
            return []

    return complete


def _of_resources(
    resources: Iterable[cl.Volume | cl.Snapshot | cl.Group | cl.GroupSnapshot],
    incomplete: str,
    help: Callable[..., str],
) -> Names:
    for resource in resources:
        name = resource.name or ""
        if _PLAIN.fullmatch(name) and (not incomplete or name.startswith(incomplete)):
            yield name, help(resource)
        else:
            yield resource.id, " ".join(filter(None, (name, help(resource))))


def _volumes(app: App, incomplete: str) -> Names:
    if app.configuration.file:
        volumes = app.controller.volumes()
        yield from _of_resources(volumes, incomplete, lambda v: f"{v.size} GiB, {v.status}")


def _snapshots(app: App, incomplete: str) -> Names:
    if app.configuration.file:
        snapshots = app.controller.snapshots()
        yield from _of_resources(snapshots, incomplete, lambda s: f"of {s.volume_id}, {s.status}")


def _names_of_groups(app: App, incomplete: str) -> Names:
    if app.configuration.file:
        groups = app.controller.groups()
        yield from _of_resources(groups, incomplete, lambda g: f"{len(g.volume_ids)} volumes")


def _group_snapshots(app: App, incomplete: str) -> Names:
    if app.configuration.file:
        found = app.controller.group_snapshots()
        yield from _of_resources(found, incomplete, lambda s: f"of {s.group_id}, {s.status}")


def _connections(app: App, incomplete: str) -> Names:
    for connection in _all_connections(app):
        host = connection.connector_info.get("host", "a host")
        yield connection.id, f"{connection.volume_id} for {host}"


def _hosts(app: App, incomplete: str) -> Names:
    hosts = (connection.connector_info.get("host") for connection in _all_connections(app))
    yield from ((host, "") for host in sorted({str(host) for host in hosts if host}))


def _all_connections(app: App) -> Iterable[cl.Connection]:
    return app.controller.connections() if app.configuration.file else ()


def _nodes(app: App, incomplete: str) -> Names:
    for name, connector in app.controller.nodes() if app.configuration.file else ():
        yield name, str(connector["host"])


def _types(app: App, incomplete: str) -> Names:
    for each in app.controller.types() if app.configuration.file else ():
        yield each.name, each.description


def _backends(app: App, incomplete: str) -> Names:
    for name in app.configuration.backends:
        yield name, str(app.configuration.data["backends"][name]["volume_driver"])


def _attachments(app: App, incomplete: str) -> Names:
    for attachment in app.node.attachments():
        document = attachment.connection_info
        volume_id = document.get("volume", {}).get("id") or ""
        yield str(attachment.path), volume_id
        if incomplete and document.get("id"):
            yield document["id"], str(attachment.path)


def _drivers(app: App, incomplete: str) -> Names:
    from cinderlib import drivers

    yield from sorted(drivers.short_names().items())


volumes = _completer(_volumes)
snapshots = _completer(_snapshots)
groups = _completer(_names_of_groups)
group_snapshots = _completer(_group_snapshots)
connections = _completer(_connections)
hosts = _completer(_hosts)
nodes = _completer(_nodes)
types = _completer(_types)
backends = _completer(_backends)
attachments = _completer(_attachments)
drivers = _completer(_drivers)
