"""``cinderlib demo``."""

from __future__ import annotations

import click

from cinderlib.cli.framework import Command


@click.command(cls=Command)
def demo() -> None:
    """Demonstrate real block storage on this host.

    It removes everything at the end.
    """
    from cinderlib import demo as show

    click.get_current_context().exit(show.main())
