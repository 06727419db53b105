"""``cinderlib demo``."""

from __future__ import annotations

import click

from cinderlib.cli.framework import Command


@click.command(cls=Command)
def demo() -> None:
    """Watch real block storage work on this machine; nothing is left of it."""
    from cinderlib import demo as show

    click.get_current_context().exit(show.main())
