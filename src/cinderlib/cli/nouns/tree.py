"""``cinderlib tree``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from cinderlib import errors
from cinderlib.cli import completing, filters, items, mounts, options, output, views
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.output_options import single

Item = dict[str, Any]


@click.command(cls=Command)
@click.argument("volumes", nargs=-1, metavar="[VOLUME]...", shell_complete=completing.volumes)
@options.backend
@single(views.TREE)
@pass_app
def tree(app: App, volumes: tuple[str, ...], backend: str | None) -> None:
    """Show backends, pools, volumes, snapshots, hosts and devices.

    Devices of this host are shown with their state and mount points. VOLUME is an ID, or a name
    that can contain * and ?. The storage is not queried.
    """
    app.configuration.require_file()
    backends = _backends(app, app.on_backend(backend), volumes)
    if app.as_json:
        app.write(backends)
        return
    if not app.form.for_people and not app.form.columns:
        app.form.columns = ("kind", "name", "id", "size_bytes", "status", "path")
    unicode = output.can_write("└─")
    app.list_items(row for each in backends for row in _rows(each, "", "", unicode=unicode))


def _backends(app: App, only: str | None, names: Sequence[str]) -> list[Item]:
    """The backends as nested items; without empty ones if volumes were specified."""
    configured = [] if names else app.configuration.backends
    found: dict[str, Item] = {
        name: _node("backend", name) for name in configured if only in (None, name)
    }
    children = _children(app, only)
    convert = items.Volumes(())
    matched = set()
    for volume in app.controller.volumes(backend=only):
        item = convert(volume)
        matching = {name for name in names if filters.matches(volume.name, name)} | (
            {volume.id} & set(names)
        )
        matched |= matching
        if names and not matching:
            continue
        top = found.setdefault(item["backend"], _node("backend", item["backend"]))
        pool = _pool_of(top, item["pool"])
        pool["children"].append(
            _node(
                "volume",
                volume.name or volume.id,
                id=volume.id,
                size_bytes=item["size_bytes"],
                status=volume.status,
                children=children.get(volume.id, []),
            )
        )
    for name in names:
        if name not in matched:
            raise errors.VolumeNotFound(f"No volume has the name or ID {name!r}", resource=name)
    return list(found.values())


def _pool_of(backend: Item, name: str | None) -> Item:
    for pool in backend["children"]:
        if pool["name"] == name:
            assert isinstance(pool, dict)
            return pool
    pool = _node("pool", name or "")
    backend["children"].append(pool)
    return pool


def _children(app: App, backend: str | None) -> dict[str, list[Item]]:
    """The snapshots and hosts of each volume."""
    found: dict[str, list[Item]] = {}
    for snapshot in app.controller.snapshots(backend=backend):
        found.setdefault(snapshot.volume_id, []).append(
            _node(
                "snapshot",
                snapshot.name or snapshot.id,
                id=snapshot.id,
                size_bytes=snapshot.volume_size * 1024**3,
                status=snapshot.status,
            )
        )
    mounted = mounts.by_device()
    for connection in app.controller.connections(backend=backend):
        item = items.connection(connection, "")
        node = _node("host", item["host"] or "", id=item["id"], status=item["state"])
        node.update({name: item[name] for name in ("path", "device_state", "protocol")})
        number = mounts.number_of(item["path"]) if item["device_state"] == "ok" else None
        if number in mounted:
            node["mounts"] = mounted[str(number)]
        found.setdefault(connection.volume_id, []).append(node)
    return found


def _node(kind: str, name: str, **facts: Any) -> Item:
    return {"kind": kind, "name": name, "children": [], **facts}


def _rows(node: Mapping[str, Any], own: str, below: str, *, unicode: bool) -> Iterator[Item]:
    """The lines of a tree.

    :param own: the beginning of the line of the node.
    :param below: the beginning of the lines below it.
    """
    label = node["name"] if node["kind"] in ("backend", "volume") else _label(node)
    yield {**node, "tree": own + label}
    branch, last, line = ("├─", "└─", "│ ") if unicode else ("|-", "`-", "| ")
    children: Sequence[Mapping[str, Any]] = node["children"]
    for child in children:
        is_last = child is children[-1]
        yield from _rows(
            child,
            below + (last if is_last else branch),
            below + ("  " if is_last else line),
            unicode=unicode,
        )


def _label(node: Mapping[str, Any]) -> str:
    return f"{node['kind']} {node['name']}".rstrip()
