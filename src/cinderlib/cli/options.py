"""Options of several verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from cinderlib.cli import completing
from cinderlib.cli.app import App
from cinderlib.cli.seconds import Seconds

F = TypeVar("F", bound=Callable[..., Any])

backend = click.option(
    "--backend",
    metavar="NAME",
    help="The backend. Optional if only one backend is configured.",
    shell_complete=completing.backends,
)


def _store_wait(ctx: click.Context, param: click.Parameter, value: float | None) -> None:
    ctx.ensure_object(App).wait = value


wait = click.option(
    "--wait",
    type=Seconds(),
    metavar="SECONDS",
    help="If the resource is in use, try again until this time is over.",
    expose_value=False,
    callback=_store_wait,
)

backend_or_auto = click.option(
    "--backend",
    metavar="NAME",
    help="The backend, or auto: Cinder's scheduler rules choose the best. auto is the"
    " default with --type. Optional if only one backend is configured.",
    shell_complete=completing.backends,
)


def _pairs(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, str] | None:
    if not given:
        return None
    pairs = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{text!r} is not in the form KEY=VALUE")
        pairs[key] = value
    return pairs


def pairs(option: str, name: str, help: str) -> Callable[[F], F]:
    """An option with a value ``KEY=VALUE`` that can be repeated."""
    return click.option(
        option,
        name,
        multiple=True,
        metavar="KEY=VALUE",
        callback=_pairs,
        help=f"{help} Can be repeated.",
    )


def specs(function: F) -> F:
    """``--type``, or own specs with ``--extra-spec``, ``--qos-spec`` and ``--encryption``."""
    function = pairs(
        "--encryption", "encryption", "Let hosts encrypt the volume: provider=luks2 or luks, ..."
    )(function)
    function = pairs("--qos-spec", "qos_specs", "A QoS spec for the driver.")(function)
    function = pairs("--extra-spec", "extra_specs", "An extra spec for the driver.")(function)
    return click.option(
        "--type",
        metavar="NAME",
        help="The volume type, whose specs the volume gets.",
        shell_complete=completing.types,
    )(function)


def described(function: F) -> F:
    """``--description`` and ``--metadata``."""
    function = pairs("--metadata", "metadata", "Metadata to store.")(function)
    return click.option("--description", help="A description to store.")(function)


def force(help: str) -> Callable[[F], F]:
    """``--force``, and ``--yes`` to omit its confirmation."""

    def add(function: F) -> F:
        function = click.option("-y", "--yes", is_flag=True, help="Do not ask to confirm --force.")(
            function
        )
        return click.option("--force", is_flag=True, help=help)(function)

    return add


persist = click.option(
    "--persist", is_flag=True, help="Attach the volume again after each boot; see `node persist`."
)

cgroup = click.option(
    "--cgroup",
    metavar="FOLDER",
    help="Apply the limits of the volume that the host enforces to this control group (cgroup v2).",
)

other_host = click.option(
    "--host", metavar="HOST", help="Use this other host, over SSH: a name, or user@name."
)
ssh = click.option(
    "--ssh",
    metavar="COMMAND",
    default="ssh",
    help="The SSH command with its options, for --host; by default ssh.",
)


def mapped_host(function: F) -> F:
    """``--connector`` and ``--node``: the host to map a resource to."""
    function = click.option(
        "--node",
        help="The name from `cinderlib node register` on that host.",
        shell_complete=completing.nodes,
    )(function)
    return click.option(
        "--connector",
        type=click.File("rb"),
        help="File with the output of `cinderlib node connector`; - reads standard input.",
    )(function)
