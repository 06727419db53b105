"""The command ``cinderlib``."""

from __future__ import annotations

import gc

import click

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
        "config": f"{_NOUNS}.config:config",
        "backend": f"{_NOUNS}.backend:backend",
        "volume": f"{_NOUNS}.volume:volume",
        "snapshot": f"{_NOUNS}.snapshot:snapshot",
        "connection": f"{_NOUNS}.connection:connection",
        "node": f"{_NOUNS}.node:node",
        "driver": f"{_NOUNS}.driver:driver",
        "store": f"{_NOUNS}.store:store",
        "recover": f"{_NOUNS}.recover:recover",
        "reconcile": f"{_NOUNS}.reconcile:reconcile",
        "doctor": f"{_NOUNS}.doctor:doctor",
        "serve": f"{_NOUNS}.serve:serve",
        "demo": f"{_NOUNS}.demo:demo",
    },
    help=(
        "Any storage array through OpenStack Cinder's volume drivers, without running Cinder."
        "\n\nResults go to standard output, messages to standard error. Specify a volume or"
        " snapshot by its name, its ID, or the unique beginning of its ID; what destroys something"
        " needs the name or the whole ID."
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
    """What the installed command runs."""
    try:
        cli(prog_name="cinderlib")
    finally:
        # At its end Python looks through all objects for those that only hold each other. With
        # Cinder loaded that takes a tenth of the command's time, and nothing outlives the process.
        gc.freeze()
