"""``cinderlib serve``: the warm local service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cinderlib import errors
from cinderlib.cli import includes
from cinderlib.cli.app import App
from cinderlib.cli.configuration import load, missing
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.seconds import Seconds

if TYPE_CHECKING:
    from cinderlib.cli.configuration import Configuration
    from cinderlib.service.backends import Source
    from cinderlib.service.options import Options


@click.command(cls=Command)
@click.option("--socket", type=click.Path(path_type=Path), help="The UNIX socket to listen on.")
@click.option(
    "--idle-timeout",
    type=Seconds(),
    help="Exit after this many seconds without requests.",
)
@click.option(
    "--replace", is_flag=True, help="Take over from the running service without an interruption."
)
@pass_app
def serve(app: App, socket: Path | None, idle_timeout: float | None, replace: bool) -> None:
    """Run the service: one process that keeps the backends loaded.

    The command and the oVirt programs use it automatically, Python programs with
    cinderlib.connect(). See [service] in the configuration.

    With --replace, the new service loads the backends, and then takes the sockets of the running
    service, which finishes its calls and exits. If no service runs, the option has no effect.
    """
    try:
        from cinderlib.service import calls, logs
        from cinderlib.service.app import Application
        from cinderlib.service.metrics import Metrics
        from cinderlib.service.server import Server
        from cinderlib.service.state import State
        from cinderlib.service.warm.process import WarmProcesses
    except ImportError as exc:
        raise errors.MissingDependency(
            f"The service needs the Python package {exc.name!r}: install cinderlib[service]"
        ) from exc
    configured = app.configuration
    if configured.file is None:
        raise errors.ConfigurationError(missing())
    options = _options(configured, socket, idle_timeout)
    logs.start(options.log, debug=app.debug)
    programs = WarmProcesses(options.socket, mode=options.mode, group=options.group)
    left = 0.0
    try:
        app.show_progress = calls.report  # type: ignore[method-assign]
        metrics = Metrics()
        app.observer = metrics.observe
        tracing = None
        if options.traces:
            from cinderlib.service.tracing import Tracing, both

            tracing = Tracing()
            app.callback(tracing.close)
            app.observer = both(metrics.observe, tracing.observe)
        backends = _backends(app, options)
        metrics.add(State(backends, options.stats_interval))
        application = Application(backends, metrics, threads=options.threads)
        application.workers.tracing = tracing

        def reload() -> None:
            nonlocal configured
            configured = new = load(app.config_path)
            backends.replace(new.backends, new.backend, settled=application.workers.calls.wait)

        left = Server(
            application,
            options,
            reload=reload,
            configuration=configured.file.path.absolute(),
            replace=replace,
            listening=programs.publish,
            watched=lambda: includes.fingerprint(configured.file),
        ).run()
    finally:
        # Programs whose calls were interrupted report that.
        programs.stop(max(left, 5.0))


def _backends(app: App, options: Options) -> Source:
    """The configured backends of this host, or those of the service on another host."""
    configured = app.configuration
    upstream = configured.node_client()
    if upstream is None:
        from cinderlib.service.backends import Backends

        app.may_create_store()
        return Backends(app.own_controller, configured.backends, configured.backend, options.links)
    from cinderlib.service import upstream as upstream_module

    upstream_module.check(configured.backends, configured.data.get("store", {}))
    return upstream_module.backends(upstream, configured.this_host(), options.links)


def _options(configured: Configuration, socket: Path | None, idle_timeout: float | None) -> Options:
    from cinderlib import service_address
    from cinderlib.service import options

    table = configured.service()
    if socket is not None:
        table["socket"] = socket.absolute()
    if idle_timeout is not None:
        table["idle_timeout"] = idle_timeout
    table.setdefault("socket", Path(service_address.default_socket()))
    return options.of_table(table)
