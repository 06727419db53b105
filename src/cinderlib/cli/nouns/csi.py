"""``cinderlib csi``: the plug-in for Kubernetes and Nomad."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app

if TYPE_CHECKING:
    from cinderlib.csi.settings import Mode


@click.command(cls=Command)
@click.option(
    "--mode",
    type=click.Choice(["controller", "node", "all"]),
    envvar="CINDERLIB_CSI_MODE",
    default="all",
    show_default=True,
    help="What to serve: the storage, this host, or both.",
)
@click.option(
    "--endpoint",
    envvar="CSI_ENDPOINT",
    required=True,
    metavar="unix:///PATH",
    help="The UNIX socket to listen on.",
)
@click.option(
    "--name", envvar="CINDERLIB_CSI_NAME", metavar="NAME", help="The driver's name in the cluster."
)
@click.option(
    "--keys",
    type=click.Path(dir_okay=False),
    envvar="CINDERLIB_CSI_KEYS",
    metavar="FILE",
    help="The file with the keys that encrypt what controllers send to nodes.",
)
@click.option(
    "--node-name",
    envvar="CINDERLIB_CSI_NODE_NAME",
    metavar="NAME",
    help="The name of this host; by default the system's host name.",
)
@pass_app
def csi(
    app: App, mode: Mode, endpoint: str, name: str | None, keys: str | None, node_name: str | None
) -> None:
    """Run the CSI plug-in, for Kubernetes and Nomad.

    The options can also be set with the environment variables CINDERLIB_CSI_MODE, CSI_ENDPOINT,
    CINDERLIB_CSI_NAME, CINDERLIB_CSI_KEYS and CINDERLIB_CSI_NODE_NAME. See [csi] in the
    configuration. A node needs no backends in it.
    """
    # Programs are started without a fork of this process; gRPC would only log about it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        from cinderlib.csi.identity import IdentityService
        from cinderlib.csi.node.service import NodeService
        from cinderlib.csi.server import Server
        from cinderlib.csi.settings import read
    except ImportError as exc:
        if (exc.name or "").startswith("cinderlib"):
            raise
        raise errors.MissingDependency(
            f"The CSI plug-in needs the Python package {exc.name!r}: install cinderlib-node[csi],"
            " or cinderlib[csi] for controllers"
        ) from exc
    level = logging.DEBUG if app.verbosity or app.debug else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("cinderlib").setLevel(level)
    settings = read(_table(app, name, keys), mode)
    services: dict[str, Any] = {}
    ready = []
    if mode != "controller":
        node = NodeService(settings, app.make_node(host=node_name))
        services["Node"] = node
        ready.append(node.ready)
    if mode != "node":
        from cinderlib.csi.controller.storage import Storage

        app.may_create_store()
        configured = app.configuration
        storage = Storage(settings, app.own_controller, configured.backends, configured.backend)
        services["Controller"] = storage.service
        services["GroupController"] = storage.groups
        ready.append(storage.ready)
        storage.load()
    services["Identity"] = IdentityService(settings, lambda: all(each() for each in ready))
    Server(endpoint, services, threads=settings.threads, stop_timeout=settings.stop_timeout).run()


def _table(app: App, name: str | None, keys: str | None) -> dict[str, Any]:
    table = app.configuration.csi()
    if name is not None:
        table["name"] = name
    if keys is not None:
        try:
            with open(keys, encoding="ascii") as file:
                table["keys"] = file.read()
        except (OSError, UnicodeDecodeError) as exc:
            raise errors.ConfigurationError(f"The keys cannot be read from {keys}: {exc}") from exc
    return table
