"""``cinderlib doctor``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from cinderlib.cli import output
from cinderlib.cli.app import App
from cinderlib.cli.framework import Command, pass_app

if TYPE_CHECKING:
    from cinderlib.node.checks.finding import Diagnosis, Finding

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}
_INDENT = "    "
_PROTOCOLS = ("iscsi", "multipath", "encryption", "nvme", "rbd", "nfs", "fc", "local")


@click.command(cls=Command)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice(_PROTOCOLS),
    help="Check this protocol; can be repeated. By default the protocols of configured backends and"
    " attached volumes, and those that are installed.",
)
@click.option(
    "--script",
    is_flag=True,
    help="Write the commands that repair the findings, as a script for root.",
)
@pass_app
def doctor(app: App, protocols: tuple[str, ...], script: bool) -> None:
    """Find problems of this host, its backends and the store.

    It shows how to repair them. It does not change anything or contact the storage. An error
    prevents an operation. A warning can cause a later failure or affect other operations. A note is
    for information. A protocol that is installed, but neither configured nor attached nor
    requested, causes at most warnings.

    The exit code is 1 if there is an error.
    """
    diagnosis = _diagnose(app, protocols)
    if script:
        _write_script(diagnosis.findings)
    elif app.as_json:
        import msgspec

        app.write(msgspec.to_builtins(diagnosis))
    else:
        _write(app, diagnosis)
    if any(finding.severity == "error" for finding in diagnosis.findings):
        click.get_current_context().exit(1)


def _diagnose(app: App, protocols: tuple[str, ...]) -> Diagnosis:
    from cinderlib.errors import CinderlibError
    from cinderlib.node.checks.finding import Diagnosis, Finding, worst_first

    backends, findings = {}, []
    for name in app.configuration.backends:
        try:
            backends[name] = app.configuration.backend(name)
        except CinderlibError as error:
            problem = f"the configuration of backend {name} is not valid: {error}"
            findings.append(Finding(check="backend.options", severity="error", problem=problem))
    needed: dict[str, str] = {}
    if backends:
        from cinderlib.objects import diagnosis

        needed = diagnosis.needed(backends)
    host = app.node.diagnose(protocols or None, needed=needed)
    findings += host.findings
    if app.configuration.file is not None:
        try:
            findings += app.own_controller.diagnose(backends)
        except CinderlibError as error:
            problem = f"cannot open the store: {error}"
            findings.append(Finding(check="store.reach", severity="error", problem=problem))
    return Diagnosis(protocols=host.protocols, findings=worst_first(findings))


def _write(app: App, diagnosis: Diagnosis) -> None:
    checked = [f"{name} ({why})" for name, why in diagnosis.protocols.items()]
    app.say(f"Checked: {', '.join(checked) or 'no protocol, because none is needed or installed'}.")
    counts = dict.fromkeys(_COLOURS, 0)
    for finding in diagnosis.findings:
        counts[finding.severity] += 1
        click.echo()
        _write_finding(finding)
    if not diagnosis.findings:
        app.say("No problems found.")
        return
    click.echo()
    found = [f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count]
    app.say(f"{', '.join(found)}.")
    if any(finding.commands for finding in diagnosis.findings):
        app.say("Add --script to write the repair commands as a script for root.")


def _write_finding(finding: Finding) -> None:
    severity = click.style(finding.severity, fg=_COLOURS[finding.severity], bold=True)
    click.echo(f"{severity}: {output.text(finding.problem)} [{finding.check}]")
    for text in (finding.meaning, finding.advice):
        if text:
            sentence = output.text(text[0].upper() + text[1:]).rstrip(".") + "."
            click.echo(
                click.wrap_text(sentence, 96, initial_indent=_INDENT, subsequent_indent=_INDENT)
            )
    for command in finding.commands:
        click.echo(f"{_INDENT}# {command}")


def _write_script(findings: Iterable[Finding]) -> None:
    click.echo("#!/bin/sh")
    for finding in findings:
        if finding.commands:
            click.echo(f"\n# {finding.severity}: {output.text(finding.problem)}")
            click.echo(f"echo {shlex.quote(finding.check)} >&2")
            for command in finding.commands:
                click.echo(command)
