"""``cinderlib init``."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from cinderlib import errors
from cinderlib.cli import completing, configuration, exits, options, sizes
from cinderlib.cli.app import App
from cinderlib.cli.configuration import Configuration
from cinderlib.cli.framework import Command, pass_app
from cinderlib.cli.newconfig import NewConfiguration, exists
from cinderlib.cli.tomlfile import TomlFile
from cinderlib.locking import state_folder

_ADDRESS = re.compile(r"(^|_)(ip|ips|host|hosts|hostname|address|url|fip|uri)$")
_USER = re.compile(r"(^|_)(login|user|username)$")
_SECRET = re.compile(r"password|token|jwt|access_key")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
#: Drivers that a question lists at most.
_LISTED = 15


@click.command(cls=Command)
@click.argument("storage", nargs=-1, metavar="[STORAGE]...", shell_complete=completing.drivers)
@click.option("--name", help="The name of the backend; by default that of the storage.")
@click.option("--address", help="The address of the storage.")
@click.option("--user", help="The user on the storage.")
@click.option(
    "--password-file",
    type=click.File("r"),
    metavar="FILE",
    help="Read the password or token from this file; - reads standard input.",
)
@click.option(
    "--password-env",
    metavar="VARIABLE",
    help="Read the password or token from this environment variable at each use.",
)
@options.pairs("--option", "given", "Another option of the driver.")
@click.option("--check/--no-check", default=True, help="Test the connection to the storage first.")
@pass_app
def init(
    app: App,
    storage: tuple[str, ...],
    name: str | None,
    address: str | None,
    user: str | None,
    password_file: Any,
    password_env: str | None,
    given: dict[str, str] | None,
    check: bool,
) -> None:
    """Create a configuration for a storage.

    STORAGE is a vendor, product or driver, such as ceph, netapp iscsi or powerstore. By default,
    volumes are files in a folder of this host.

    On a terminal, it asks for missing values. It tests the connection and writes the file of
    --config, or the user's configuration (for root, the host's). Passwords are in private files
    next to it.
    """
    path = _target(app.config_path)
    if os.path.lexists(path):
        raise exists(path)
    driver = _driver(" ".join(storage))
    values: dict[str, Any] = dict(given or {})
    secret: Any = None
    if password_file is not None and password_env is not None:
        raise click.UsageError("Choose one of --password-file and --password-env.")
    if password_file is not None:
        secret = password_file.read().rstrip("\r\n")
    elif password_env is not None:
        secret = {"env": password_env}
    _complete(driver, values, {_ADDRESS: address, _USER: user, _SECRET: secret})
    secrets = {option: value for option, value in values.items() if _SECRET.search(option)}
    plain = {option: value for option, value in values.items() if option not in secrets}
    name = _backend_name(name, driver)
    new = NewConfiguration(
        path, name, driver.title, {"volume_driver": driver.name, **plain}, secrets
    )
    with new.drafted():
        app.config_path = str(new.draft)
        pools = _tested(app, name) if check else []
        new.keep()
    _report(app, path, name, driver, pools)


class _Driver:
    """:ivar name: short name.
    :ivar title: vendor and product.
    """

    def __init__(self, path: str) -> None:
        from cinderlib import drivers

        self.path = path
        short = {full: name for name, full in drivers.short_names().items()}
        self.name = short.get(path, path)
        self.title = (drivers.product_of(path) or path).removeprefix("cinderlib ")
        self.essentials = drivers.essential_options(path)
        if "file_root" in self.essentials:
            self.essentials["file_root"] = str(state_folder.default() / "volumes")


def _target(chosen: str | None) -> Path:
    named = chosen or os.environ.get(configuration.VARIABLE)
    if named:
        return Path(named).absolute()
    folder = state_folder.user_folder("config")
    if os.geteuid() == 0 or folder is None:
        return configuration.SYSTEM
    return folder / configuration.NAME


def _is_interactive() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _driver(words: str) -> _Driver:
    from cinderlib import drivers

    if not words and _is_interactive():
        words = click.prompt(
            "Storage (vendor, product or driver; file: files on this host)",
            default="file",
            err=True,
        )
    words = words or "file"
    exact = drivers.short_names().get(words.replace("-", "_"))
    found = [exact] if exact else drivers.search(words)
    if not found:
        raise errors.NotFound(
            f"No driver matches {words!r}{drivers.suggestion(words)}", resource=words
        )
    choices = [_Driver(path) for path in found]
    if len(choices) == 1:
        return choices[0]
    names = ", ".join(choice.name for choice in choices[:_LISTED])
    if not _is_interactive() or len(choices) > _LISTED:
        raise errors.InvalidInput(
            f"{len(choices)} drivers match {words!r}: {names}"
            f"{' and others' if len(choices) > _LISTED else ''}. Specify one, or its protocol too"
        )
    for number, choice in enumerate(choices, start=1):
        click.echo(f"{number:3}  {choice.name}  {choice.title}", err=True)
    number = click.prompt("Driver", type=click.IntRange(1, len(choices)), err=True)
    return choices[number - 1]


def _complete(driver: _Driver, values: dict[str, Any], by_kind: dict[re.Pattern[str], Any]) -> None:
    """Add the essential options from arguments, and ask for the others.

    :param values: options that were specified; it is changed.
    :param by_kind: values for the first option whose name matches.
    """
    for kind, value in by_kind.items():
        if value is None:
            continue
        option = next((each for each in driver.essentials if kind.search(each)), None)
        if option is None:
            what = {_ADDRESS: "address", _USER: "user", _SECRET: "password"}[kind]
            raise errors.InvalidInput(
                f"Driver {driver.name} has no {what}: use --option for its options, which"
                f" `cinderlib driver show {driver.name}` lists"
            )
        values.setdefault(option, value)
    missing = [option for option in driver.essentials if option not in values]
    if not _is_interactive():
        for option in missing:
            if driver.essentials[option]:
                values[option] = driver.essentials[option]
        missing = [option for option in missing if not driver.essentials[option]]
        if missing:
            raise errors.InvalidInput(
                f"Driver {driver.name} needs more: {', '.join(missing)}. Specify each with --option"
                " NAME=VALUE, or --address, --user and --password-file"
            )
        return
    for option in missing:
        hidden = _SECRET.search(option) is not None
        values[option] = click.prompt(
            f"{_label(option)} ({option})",
            default=driver.essentials[option] or None,
            hide_input=hidden,
            err=True,
        )


def _label(option: str) -> str:
    kinds = {_ADDRESS: "Address", _USER: "User", _SECRET: "Password or token, not shown"}
    named = next((label for kind, label in kinds.items() if kind.search(option)), None)
    return named or option.replace("_", " ").capitalize()


def _backend_name(given: str | None, driver: _Driver) -> str:
    if given is None:
        return "files" if driver.name == "file" else driver.name.rpartition(".")[2]
    if not _NAME.fullmatch(given):
        raise errors.InvalidInput(f"The name {given!r} is not valid: use letters, digits, - and _")
    return given


def _tested(app: App, name: str) -> list[str]:
    """Load the backend and query its storage.

    :returns: the names of the pools.
    """
    app.configuration = Configuration(TomlFile(Path(str(app.config_path))))
    quiet, app.quiet = app.quiet, True  # nothing about the store, which does not exist yet
    try:
        backend = app.own_controller.backend(name, **app.configuration.backend(name))
        return [pool["pool_name"] for pool in backend.stats(refresh=True)["pools"]]
    except errors.CinderlibError as error:
        app.quiet = quiet
        if not _is_interactive():
            error.add_note("No file was written. Add --no-check to write the configuration anyway.")
            raise
        click.echo(f"The storage cannot be used: {exits.one_line(error)}", err=True)
        if not click.confirm("Write the configuration anyway?", err=True):
            click.echo("No file was written.", err=True)
            click.get_current_context().exit(exits.exit_code(error))
        return []
    finally:
        app.quiet = quiet


def _report(app: App, path: Path, name: str, driver: _Driver, pools: list[str]) -> None:
    tested = f" The storage answers, with {sizes.counted({'pools': len(pools)})}." if pools else ""
    app.say(f"Wrote {path} with backend {name} ({driver.title}).{tested}")
    if app.as_json:
        app.write(
            {"path": str(path), "backend": name, "volume_driver": driver.name, "pools": pools}
        )
        return
    click.echo(str(path))
    if not app.quiet:
        for line in _NEXT:
            click.echo(line, err=True)


_NEXT = (
    "Next steps:",
    "  cinderlib volume create data 1GiB    create a volume",
    "  cinderlib volume attach data         attach it to this host",
    "  cinderlib tree                       see everything",
    "  cinderlib doctor                     check this host",
)
