"""Common parts of all verbs: options, and error handling."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from cinderlib.cli import form, output_options
from cinderlib.cli.app import App
from cinderlib.errors import ConfigurationError

if TYPE_CHECKING:
    from cinderlib.cli.view import View

pass_app = click.make_pass_decorator(App, ensure=True)


def _stored_as(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A callback that stores the value of an option in an attribute of the :class:`App`."""

    def store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        _check_text(ctx, param, value)
        if value:
            setattr(ctx.ensure_object(App), name, value)

    return store


def _option(
    *names: str, help: str, callback: Callable[..., None] | None = None, **how: Any
) -> click.Option:
    option = click.Option(names, help=help, expose_value=False, **how)
    option.callback = callback or _stored_as(str(option.name))
    return option


def _common() -> list[click.Option]:
    """The options that are accepted before the noun and after the verb."""
    as_json, path = output_options.choose_format, click.Path(dir_okay=False)
    return [
        _option(
            "--config", "config_path", help="The configuration file.", type=path, metavar="FILE"
        ),
        _option("--json", "as_json", help="The same as -o json.", callback=as_json, is_flag=True),
        _option("-q", "--quiet", help="Write only results and errors, no messages.", is_flag=True),
        _option(
            "-v",
            "--verbose",
            "verbosity",
            help="Log operations and driver calls with times; repeat it to add other logs.",
            count=True,
        ),
        _option("--debug", help="Log everything, and show tracebacks of errors.", is_flag=True),
    ]


class Command(click.Command):
    """A verb."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The columns of the results, if they have columns.
        self.view: View | None = getattr(self.callback, "__dict__", {}).get("view")
        if not any("-o" in param.opts for param in self.params):
            formats = form.FREE_FORMATS if self.view is None else form.FORMATS
            at = next(
                (i for i, p in enumerate(self.params) if p.name in output_options.OPTIONS), None
            )
            self.params.insert(
                len(self.params) if at is None else at, output_options.output_option(formats)
            )
        self.params += _common()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verb's own options first, then those of the output and the common ones."""
        common = {option.name for option in _common()} | {"help"}
        sections: dict[str, list[tuple[str, str]]] = {
            "Options": [], "Output options": [], "Common options": []
        }  # fmt: skip
        for param in self.get_params(ctx):
            # Some versions of click also have records for arguments.
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                is_output = param.name in output_options.OPTIONS
                title = "Common options" if param.name in common else "Options"
                sections["Output options" if is_output else title].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest = super().parse_args(ctx, args)
        if self.view is not None and not ctx.resilient_parsing:
            app = ctx.ensure_object(App)
            app.view = self.view
            self.view.check(app.form)
        for param in self.get_params(ctx):
            _check_text(ctx, param, ctx.params.get(param.name or ""))
        return rest


#: Parameters that can be empty.
_MAY_BE_EMPTY = ("description",)


def _check_text(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Refuse an empty argument, which usually comes from a shell variable that is not set, and an
    argument that is not text in the encoding of the locale. Paths may have any bytes.

    :raises click.BadParameter: it is one of these.
    """
    values = value if isinstance(value, tuple) else (value,)
    if "" in values and param.name not in _MAY_BE_EMPTY:
        raise click.BadParameter("the value is empty; omit it to use the default", ctx, param)
    if isinstance(param.type, click.Path | click.File):
        return
    for each in values:
        try:
            if isinstance(each, str):
                each.encode()
        except UnicodeEncodeError:
            raise click.BadParameter(
                "the value is not text in the encoding of this locale,"
                f" {sys.getfilesystemencoding()}; set LC_ALL to a UTF-8 locale, such as C.UTF-8",
                ctx,
                param,
            ) from None


Resolved = tuple[str | None, click.Command | None, list[str]]


def _refuse_unknown(group: click.Group, ctx: click.Context, name: str) -> None:
    """:raises click.UsageError: the group has no command with this name; the message has a similar
    one."""
    if ctx.resilient_parsing or name.startswith("-") or group.get_command(ctx, name) is not None:
        return
    from cinderlib.cli.schema import suggestion

    hint = suggestion(name, group.list_commands(ctx))
    raise click.UsageError(f"No such command {name!r}{hint or '.'}", ctx)


def _canonical(resolved: Resolved) -> Resolved:
    """The name of a command instead of the alias, for messages."""
    name, command, args = resolved
    return command.name if command is not None else name, command, args


#: Short names of nouns and verbs.
ALIASES = {"vol": "volume", "snap": "snapshot", "ls": "list", "rm": "delete"}


def _imported(location: str) -> click.Command:
    """A command at a location such as ``volume_edit:rename``, in the package of the nouns."""
    module, _, attribute = location.partition(":")
    found = getattr(importlib.import_module(f"cinderlib.cli.nouns.{module}"), attribute)
    assert isinstance(found, click.Command)
    return found


class Group(click.Group):
    """A noun.

    :param verbs: name -> location of a verb in another module, which is imported when it is used.
    """

    command_class = Command

    def __init__(self, *args: Any, verbs: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._elsewhere = verbs or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*self.commands, *self._elsewhere])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        names = self.list_commands(ctx)
        name = cmd_name if cmd_name in names else ALIASES.get(cmd_name, cmd_name)
        if name in self._elsewhere:
            return _imported(self._elsewhere[name])
        return super().get_command(ctx, name)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Resolved:
        _refuse_unknown(self, ctx, args[0])
        return _canonical(super().resolve_command(ctx, args))


class Root(click.Group):
    """The command itself.

    :param nouns: name -> location of the command, ``module:attribute``.
    """

    def __init__(self, *args: Any, nouns: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nouns = nouns
        self.params += _common()

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in self._nouns:
            return None
        return _imported(self._nouns[cmd_name])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Resolved:
        _refuse_unknown(self, ctx, args[0])
        return _canonical(super().resolve_command(ctx, args))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            from cinderlib.cli import configuration

            with contextlib.suppress(ConfigurationError):
                if configuration.find(None) is None:
                    ctx.meta[_IS_NEW] = True
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Without arguments and configuration, write how to begin."""
        if ctx.meta.get(_IS_NEW):
            with formatter.section("This host has no configuration. To begin"):
                formatter.write_dl(_BEGINNING)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        as_json = _is_structured(args)
        try:
            ctx = super().make_context(info_name, args, parent, **extra)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise click.exceptions.Exit(_report(error, as_json=as_json, debug=False)) from None
        # Errors in the options of a verb occur before its --json is parsed.
        ctx.meta[_AS_JSON] = as_json
        return ctx

    def invoke(self, ctx: click.Context) -> Any:
        if os.environ.get("NO_COLOR"):
            ctx.color = False
        app = ctx.ensure_object(App)
        try:
            with app:
                result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            click.echo(
                "\nInterrupted. `cinderlib recover` settles operations that did not end.",
                err=True,
            )
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
#: Whether no configuration exists.
_IS_NEW = "cinderlib.new"
_BEGINNING = (
    ("cinderlib init", "Create a configuration: it asks for your storage."),
    ("cinderlib init file", "Use files on this host as volumes."),
    ("cinderlib demo", "See volumes, snapshots and devices at work first."),
)


def _is_structured(args: list[str]) -> bool:
    """Whether the arguments choose JSON or YAML, in which errors are JSON."""
    chosen = [f"{option}{value}" for option in ("-o", "--output=") for value in form.STRUCTURED]
    pairs = itertools.pairwise(args)
    return not {"--json", *chosen}.isdisjoint(args) or any(
        option in ("-o", "--output") and value in form.STRUCTURED for option, value in pairs
    )


def _report(error: Exception, *, as_json: bool, debug: bool) -> int:
    """Write an error.

    :returns: the exit code.
    """
    from cinderlib.cli import exits

    exits.report(error, as_json=as_json, debug=debug)
    return exits.exit_code(error)
