"""``cinderlib version``."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from cinderlib.cli.app import App
from cinderlib.cli.form import CONTRACT
from cinderlib.cli.framework import Command, pass_app


@click.command(cls=Command)
@pass_app
def version(app: App) -> None:
    """Show the versions of cinderlib, Cinder and Python."""
    import cinderlib

    versions = {
        "cinderlib": cinderlib.__version__,
        "output": CONTRACT,
        "cinder": _installed("cinder"),
        "os_brick": _installed("os-brick"),
        "python": platform.python_version(),
    }
    if app.as_json:
        app.write(versions)
        return
    click.echo(f"cinderlib {versions['cinderlib']}")
    for name in ("cinder", "os_brick", "python"):
        click.echo(f"{name.replace('_', '-')} {versions[name] or 'is not installed'}")


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
