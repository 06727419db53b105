"""What all verbs have in common: the options, how errors leave, how to ask."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cinderlib.cli.app import App

F = TypeVar("F", bound=Callable[..., Any])

pass_app = click.make_pass_decorator(App, ensure=True)


def _told(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def tell(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        _refuse_empty(ctx, param, value)
        if value:
            setattr(ctx.ensure_object(App), name, value)

    return tell


def _common() -> list[click.Option]:
    """The options that may stand before the noun and after the verb."""
    return [
        click.Option(
            ["--config", "config_path"],
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="The configuration file.",
            expose_value=False,
            callback=_told("config_path"),
        ),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            help="Write JSON, for programs.",
            expose_value=False,
            callback=_told("as_json"),
        ),
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            help="No messages, only results and errors.",
            expose_value=False,
            callback=_told("quiet"),
        ),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            help="Say what is done; twice, also what Cinder and os-brick log.",
            expose_value=False,
            callback=_told("verbosity"),
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            help="Everything that is logged, and tracebacks of errors.",
            expose_value=False,
            callback=_told("debug"),
        ),
    ]


class Command(click.Command):
    """A verb."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        for param in self.get_params(ctx):
            _refuse_empty(ctx, param, ctx.params.get(param.name or ""))
        return rest


#: What may be given as an empty text: that it is empty is a wish like another.
_MAY_BE_EMPTY = ("description",)


def _refuse_empty(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """An argument that is empty is mostly a shell variable that is not set: neither the default nor
    an empty name is what the person wants."""
    values = value if isinstance(value, tuple) else (value,)
    if "" in values and param.name not in _MAY_BE_EMPTY:
        raise click.BadParameter("it is empty; leave it out for the default", ctx, param)


class Group(click.Group):
    """A noun."""

    command_class = Command


class Root(click.Group):
    """The command itself.

    :param nouns: name -> where its command is, ``module:attribute``.
    """

    def __init__(self, *args: Any, nouns: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nouns = nouns
        self.params += _common()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._nouns:
            return None
        module, _, attribute = self._nouns[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        as_json = "--json" in args
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise click.exceptions.Exit(_report(error, as_json=as_json, debug=False)) from None
        # Also where a verb's options are wrong, before it has taken any of them.
        ctx.meta[_AS_JSON] = as_json
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        app = ctx.ensure_object(App)
        try:
            with app:
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nInterrupted. `cinderlib recover` settles what was under way.", err=True)
            ctx.exit(130)
        except (
            click.exceptions.NoArgsIsHelpError,
            click.exceptions.Exit,
            click.Abort,
            BrokenPipeError,
        ):
            raise
        except Exception as error:
            if isinstance(error, ImportError) and (error.name or "").split(".")[0] == "cinderlib":
                from cinderlib import __version__
                from cinderlib.errors import of_node_only

                called = f"{ctx.command_path} {ctx.invoked_subcommand or ''}".rstrip()
                error = of_node_only(called, __version__)
            ctx.exit(_report(error, as_json=ctx.meta[_AS_JSON], debug=app.debug))


_AS_JSON = "cinderlib.json"


def _report(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Tell of an error; gives the exit code."""
    from cinderlib.cli import exits

    exits.report(error, as_json=as_json, debug=debug)
    return exits.exit_code(error)


def destructive(function: F) -> F:
    """Gives a verb ``--yes`` and ``--dry-run``."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option("-y", "--yes", is_flag=True, help="Do it without asking."),
    ):
        function = option(function)
    return function


def agreed(what: str, *, yes: bool, dry_run: bool) -> bool:
    """Whether to go on with something that cannot be undone.

    On a terminal the person is asked; elsewhere only ``--yes`` goes on.

    :param what: in the words of a message, as ``'delete volume x'``.
    :returns: ``False`` for ``--dry-run``, which has been answered then.
    """
    if dry_run:
        click.echo(f"Would {what}.", err=True)
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        from cinderlib.errors import InvalidInput

        raise InvalidInput(f"This would {what}. Say --yes to do it.")
    if not click.confirm(f"{what[0].upper()}{what[1:]}?", err=True):
        click.echo("Nothing was done.", err=True)
        click.get_current_context().exit(6)
    return True
