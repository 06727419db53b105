"""``cinderlib help``."""

from __future__ import annotations

import click

from cinderlib.cli.framework import Command


@click.command("help", cls=Command)
@click.argument("words", nargs=-1, metavar="[NOUN [VERB]]")
def help_(words: tuple[str, ...]) -> None:
    """Show the help of a noun or verb."""
    ctx = click.get_current_context().find_root()
    command = ctx.command
    for word in words:
        found = command.get_command(ctx, word) if isinstance(command, click.Group) else None
        if found is None:
            raise click.UsageError(f"Unknown command {word!r} in `{ctx.command_path}`.", ctx)
        command = found
        ctx = click.Context(command, info_name=command.name, parent=ctx)
    click.echo(command.get_help(ctx))
