"""Exit codes and error messages, for people and for programs."""

from __future__ import annotations

import json
import traceback
from typing import Any

import click

from cinderlib.cli import output

#: Kind of failure from :attr:`cinderlib.errors.CinderlibError.code` -> exit code.
EXIT_CODES = {
    "INTERNAL": 1,
    "INVALID_ARGUMENT": 2,
    "OUT_OF_RANGE": 2,
    "NOT_FOUND": 3,
    "ALREADY_EXISTS": 4,
    "FAILED_PRECONDITION": 5,
    "ABORTED": 6,
    "UNIMPLEMENTED": 7,
    "UNAVAILABLE": 8,
    "DEADLINE_EXCEEDED": 9,
    "DATA_LOSS": 10,
    "PERMISSION_DENIED": 11,
}

#: Maximum length of a message, in characters. --debug shows all of it.
_LONGEST = 1000
_LATER = "This can be temporary: try the same command again later."
_DEBUG = "Internal error; please report it with the output of --debug."

#: The meanings of the exit codes, for the documentation.
MEANINGS = {
    0: "success, or nothing to do",
    1: "the storage, the driver or a step on this host failed",
    2: "usage: an argument, a document or the configuration is not valid; no change was made",
    3: "the resource does not exist",
    4: "the resource already exists with different properties",
    5: "the state of the resource does not allow the operation, or a requirement is not installed"
    " or configured",
    6: "another process uses the resource, or you did not confirm; try again later",
    7: "the driver, the protocol or this host does not support the operation",
    8: "the metadata store or the manager of a key failed",
    9: "the driver timed out waiting for the storage; the result is unknown",
    10: "a record in the metadata store is damaged; others are not affected",
    11: "the service does not permit the operation for this user",
    130: "interrupted (Ctrl-C); `cinderlib recover` finishes or undoes the operation",
}


#: ID -> name of the resources that the user specified by name.
_named: dict[str, str] = {}


def name_in_messages(id: str, name: str) -> None:
    """Show a resource by its name and short ID in errors about it, because the user specified its
    name."""
    _named[id] = name


def _with_name(message: str) -> str:
    """The message with the name of the resource that it is about, its subject. Other IDs are not
    replaced: the user can need the complete ID."""
    kind, _, rest = message.partition(" ")
    id, _, rest = rest.partition(" ")
    if kind not in ("Volume", "Snapshot", "Group") or id not in _named:
        return message
    return f"{kind} {_named[id]} ({id[:8]}) {rest}"


def exit_code(error: Exception) -> int:
    """The exit code for an error of the library, click or Python."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    return EXIT_CODES.get(getattr(error, "code", ""), 1)


def one_line(error: Exception) -> str:
    """The message of an error in one line: drivers include the output of commands in theirs, and
    some errors repeat a value."""
    text = error.format_message() if isinstance(error, click.ClickException) else str(error)
    line = output.message(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _is_of_the_host(error: Exception) -> bool:
    """Whether the host refused something, such as a write to a full disk."""
    return isinstance(error, OSError) and bool(error.strerror)


def document(error: Exception) -> dict[str, Any]:
    """An error as JSON: ``code``, ``message``, ``retryable`` and ``notes``."""
    from cinderlib.errors import CinderlibError

    text, code, retryable = one_line(error), "INTERNAL", False
    if isinstance(error, CinderlibError):
        code, retryable = error.code, error.retryable
    elif isinstance(error, click.ClickException):
        if isinstance(error, click.UsageError) and error.ctx:
            code = "INVALID_ARGUMENT"
    elif isinstance(error, OSError) and _is_of_the_host(error):
        text = output.message(
            f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        )
    else:
        text = f"{type(error).__name__}: {text}"
    notes = [note.strip() for note in getattr(error, "__notes__", ())]
    found: dict[str, Any] = {"code": code, "message": text, "retryable": retryable}
    return {**found, "notes": notes} if notes else found


def report(error: Exception, *, as_json: bool, debug: bool) -> None:
    """Write an error to standard error in one or two lines, with its traceback if ``debug``."""
    from cinderlib.errors import CinderlibError

    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    facts = document(error)
    if as_json:
        click.echo(json.dumps({"error": facts}), err=True)
        return
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx:
        hint = f"See `{error.ctx.command_path} --help`."
    elif facts["retryable"]:
        hint = _LATER
    elif not isinstance(error, CinderlibError | click.ClickException):
        hint = "" if debug or _is_of_the_host(error) else _DEBUG
    message = _with_name(facts["message"])
    click.echo(click.style("Error: ", fg="red", bold=True) + message, err=True)
    for line in (*getattr(error, "__notes__", ()), hint):
        if line:
            click.echo(output.text(line), err=True)
