"""``cinderlib completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cinderlib.cli.framework import Command

_SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Write the completion script for a shell.

    For bash and zsh, add `eval "$(cinderlib completion bash)"` (or zsh) to the shell's startup
    file; for fish, `cinderlib completion fish | source`.
    """
    root = click.get_current_context().find_root()
    click.echo(script(root.command, shell))


def script(command: click.Command, shell: str) -> str:
    """The completion script of a command for a shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    complete = kind(command, {}, "cinderlib", "_CINDERLIB_COMPLETE")
    # Not source(): for bash, it first runs bash to check its version.
    return (complete.source_template % complete.source_vars()).strip()
