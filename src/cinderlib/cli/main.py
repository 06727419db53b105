"""The command ``cinderlib``."""

from __future__ import annotations

import gc

import click

from cinderlib.cli import streams
from cinderlib.cli.framework import Root


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    import cinderlib

    click.echo(f"cinderlib {cinderlib.__version__}")
    ctx.exit()


cli = Root(
    "cinderlib",
    nouns={
        "init": "init:init",
        "config": "config:config",
        "backend": "backend:backend",
        "volume": "volume:volume",
        "type": "type:type_",
        "snapshot": "snapshot:snapshot",
        "group": "group:group",
        "connection": "connection:connection",
        "node": "node:node",
        "driver": "driver:driver",
        "tree": "tree:tree",
        "top": "top:top",
        "log": "log:log",
        "store": "store:store",
        "recover": "recover:recover",
        "reconcile": "reconcile:reconcile",
        "doctor": "doctor:doctor",
        "serve": "serve:serve",
        "service": "service:service",
        "csi": "csi:csi",
        "demo": "demo:demo",
        "completion": "completion:completion",
        "version": "version:version",
        "help": "help:help_",
    },
    help=(
        "Manage volumes on any storage array with OpenStack Cinder's drivers, without running"
        " Cinder."
        "\n\nResults go to standard output, messages to standard error. Specify a volume or"
        " snapshot by its name, its ID, or the unique beginning of the ID. Commands that destroy"
        " data require the name or the complete ID."
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Show the version.",
        )
    ],
)


def main() -> None:
    """The entry point of the installed command."""
    streams.prepare()
    try:
        cli(prog_name="cinderlib")
    finally:
        # Skip Python's last garbage collection: with Cinder loaded, it takes a tenth of the run
        # time, and the process ends anyway.
        gc.freeze()
