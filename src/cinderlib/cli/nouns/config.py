"""``cinderlib config``."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from cinderlib import errors, urls
from cinderlib.cli import configuration, schema, tomltext
from cinderlib.cli.app import App
from cinderlib.cli.configuration import Configuration
from cinderlib.cli.framework import Group, pass_app
from cinderlib.cli.tomlfile import TomlFile

if TYPE_CHECKING:
    from cinderlib.drivers.cinder_conf import CinderConf

#: Options whose value is hidden. Cinder does not mark all secret options, so this also matches some
#: options that are not secret.
SECRET = re.compile(
    r"pass|secret|token|key|credential|certificate_file$|jwt|^replication_device$", re.IGNORECASE
)


#: Options whose value is a URL; a value that is not a valid URL is hidden completely.
_URLS = ("connection", "lock_url")


@click.group(cls=Group)
def config() -> None:
    """Check, show and create the configuration file."""


@config.command("path")
@pass_app
def path(app: App) -> None:
    """Print the path of the configuration file."""
    found = configuration.find(app.config_path)
    if found is None:
        raise errors.NotFound(configuration.missing())
    if app.as_json:
        app.write({"path": str(found)})
    else:
        click.echo(str(found))


@config.command("show")
@pass_app
def show(app: App) -> None:
    """Show the configuration, without its secrets."""
    app.configuration.require_file()
    shown = {name: _hidden(name, table) for name, table in app.configuration.data.items()}
    if app.as_json:
        app.write(shown)
    else:
        click.echo("\n".join(tomltext.tables(shown)), nl=bool(shown))


def _hidden(name: str, value: Any) -> Any:
    if schema.reference_of(value) is not None:
        return value
    if isinstance(value, Mapping):
        return {key: _hidden(key, item) for key, item in value.items()}
    if isinstance(value, list) and any(map(schema.reference_of, value)):
        return [_hidden(name, item) for item in value]
    if SECRET.search(name):
        return "***"
    if not isinstance(value, str):
        return [_hidden(name, item) for item in value] if isinstance(value, list) else value
    return urls.hide(value) if name in _URLS else urls.hide_in(value)


@config.command("check")
@click.option("--store/--no-store", default=True, help="Also open the store.")
@pass_app
def check(app: App, store: bool) -> None:
    """Check the configuration file.

    It checks each line, the options of each backend, and the store. It does not contact the
    storage; `cinderlib backend check` does.
    """
    path = configuration.find(app.config_path)
    if path is None:
        raise errors.NotFound(configuration.missing())
    findings = list(_findings(app, TomlFile(path), with_store=store))
    wrong = [message for level, message in findings if level == "error"]
    if app.as_json:
        app.write([{"level": level, "message": message} for level, message in findings])
    else:
        for level, message in findings:
            colour = "red" if level == "error" else "yellow"
            click.echo(f"{click.style(level.capitalize(), fg=colour, bold=True)}: {message}")
        if not wrong:
            backends = len(app.configuration.backends)
            app.say(f"{path}: OK ({backends} backend{'' if backends == 1 else 's'})")
    if wrong:
        click.get_current_context().exit(2)


def _findings(app: App, file: TomlFile, *, with_store: bool) -> Iterator[tuple[str, str]]:
    wrong = [("error", str(problem)) for problem in schema.problems(file)]
    yield from wrong
    yield from _open_secrets(file)
    if wrong:
        return
    configured = Configuration(file)
    try:
        configured.check_references()
    except errors.ConfigurationError as error:
        yield "error", str(error)
        return
    if not with_store:
        return
    try:
        controller = app.own_controller
    except errors.CinderlibError as error:
        yield "error", str(file.error(str(error), "store"))
        return
    for name in configured.backends:
        options = configured.backend(name)
        try:
            for missing in controller.check_backend(name, **options):
                yield "warning", str(file.error(f"needs the {missing}", "backends", name))
        except errors.ConfigurationError as error:
            at = ["backends", name, "volume_driver"]
            option = str(error.resource)
            if option in options:
                at[2] = option
            elif option in file.data.get("cinder", ()):
                at = ["cinder", option]
            yield "error", str(file.error(str(error), *at))
            if at[0] == "cinder":
                return  # all backends would report the same error


def _open_secrets(file: TomlFile) -> Iterator[tuple[str, str]]:
    """Warnings about secrets in a file that other users can read."""
    if not stat.S_IMODE(os.stat(file.path).st_mode) & 0o077:
        return
    tables: list[tuple[tuple[str, ...], Any]] = [(("store",), file.data.get("store"))]
    backends = file.data.get("backends")
    if isinstance(backends, Mapping):
        tables += [(("backends", backend), options) for backend, options in backends.items()]
    for place, table in tables:
        for name, value in table.items() if isinstance(table, Mapping) else ():
            if _hidden(name, value) != value:
                message = (
                    f"{name} is a secret, and other users can read this file: chmod 600 {file.path}"
                )
                yield "warning", str(file.error(message, *place, name))


@config.command("from-cinder")
@click.argument("conf", type=click.Path(dir_okay=False))
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write to this file, readable only by its owner; by default to standard output.",
)
@pass_app
def from_cinder(app: App, conf: str, target: str | None) -> None:
    """Create a configuration from a cinder.conf.

    It contains the enabled_backends, with their secrets in clear text.
    """
    from cinderlib import drivers

    found = drivers.read_cinder_conf(conf)
    for name in found.missing:
        app.say(f"Omitted {name}: it is enabled, but has no section with a volume_driver.")
    if not found.backends:
        raise errors.InvalidInput(f"{conf} has no enabled_backends with a section")
    converted = _of_cinder(found)
    if app.as_json:
        app.write(converted)
        return
    text = "\n".join([f"# Created from {conf}", *tomltext.tables(converted)]) + "\n"
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        with open(target, "x", opener=_private, encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise errors.AlreadyExists(
            f"{target} already exists: choose another file, or remove it first"
        ) from None
    except OSError as exc:
        raise errors.InvalidInput(f"Cannot write {target}: {exc.strerror}") from exc
    names = ", ".join(found.backends)
    app.say(f"Wrote {target} with {names}. Check it with: cinderlib config check --config {target}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _of_cinder(found: CinderConf) -> dict[str, Any]:
    converted: dict[str, Any] = {"cinder": found.common} if found.common else {}
    converted["backends"] = {
        # The driver is the first option.
        name: {"volume_driver": options["volume_driver"], **options}
        for name, options in found.backends.items()
    }
    return converted
