"""The command ``cinderlib``."""

from __future__ import annotations

import gc

import click

from cinderlib.cli import streams
from cinderlib.cli.framework import Root

_NOUNS = "cinderlib.cli.nouns"


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    import cinderlib

    click.echo(f"cinderlib {cinderlib.__version__}")
    ctx.exit()


cli = Root(
    "cinderlib",
    nouns={
        "init": f"{_NOUNS}.init:init",
        "config": f"{_NOUNS}.config:config",
        "backend": f"{_NOUNS}.backend:backend",
        "volume": f"{_NOUNS}.volume:volume",
        "type": f"{_NOUNS}.type:type_",
        "snapshot": f"{_NOUNS}.snapshot:snapshot",
        "connection": f"{_NOUNS}.connection:connection",
        "node": f"{_NOUNS}.node:node",
        "driver": f"{_NOUNS}.driver:driver",
        "tree": f"{_NOUNS}.tree:tree",
        "top": f"{_NOUNS}.top:top",
        "log": f"{_NOUNS}.log:log",
        "store": f"{_NOUNS}.store:store",
        "recover": f"{_NOUNS}.recover:recover",
        "reconcile": f"{_NOUNS}.reconcile:reconcile",
        "doctor": f"{_NOUNS}.doctor:doctor",
        "serve": f"{_NOUNS}.serve:serve",
        "service": f"{_NOUNS}.service:service",
        "csi": f"{_NOUNS}.csi:csi",
        "demo": f"{_NOUNS}.demo:demo",
        "completion": f"{_NOUNS}.completion:completion",
        "version": f"{_NOUNS}.version:version",
        "help": f"{_NOUNS}.help:help_",
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
