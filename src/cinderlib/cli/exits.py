"""Exit codes, and errors as a person or a program reads them."""

from __future__ import annotations

import json
import traceback

import click

#: What kind of failure, as in :attr:`cinderlib.errors.CinderlibError.code`, and the exit code.
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

_LATER = "The same command can succeed when it is given again later."
_DEBUG = "This was not foreseen. --debug shows where it happened; please report it."

#: What the exit codes say, for the documents and the help.
MEANINGS = {
    0: "done, or nothing was left to do",
    1: "the storage, the driver or a step on this host failed",
    2: "usage: an argument, a document or the configuration is wrong; nothing was touched",
    3: "what was named does not exist",
    4: "it exists, and differs from what was asked",
    5: "its state does not allow it, or something needed is not installed or configured",
    6: "another works on it, or you said no; try again later",
    7: "the driver, the protocol or this host cannot do it",
    8: "the metadata store failed",
    9: "the driver gave up waiting for its storage; what that did is not known",
    10: "a record in the metadata store is damaged; the others are not",
    11: "the service does not let this user do it",
    130: "interrupted (Ctrl-C); `cinderlib recover` settles what was under way",
}


def exit_code(error: Exception) -> int:
    """The exit code for an error, of the library, of click or of Python."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    return EXIT_CODES.get(getattr(error, "code", ""), 1)


def one_line(error: Exception) -> str:
    """What an error says, in one line: drivers put the output of commands into theirs."""
    return " ".join(str(error).split())


def report(error: Exception, *, as_json: bool, debug: bool) -> None:
    """Write an error to standard error, in one or two lines; with ``debug``, its traceback too."""
    from cinderlib.errors import CinderlibError

    if debug:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    text = one_line(error)
    if isinstance(error, CinderlibError):
        code, retryable, hint = error.code, error.retryable, _LATER if error.retryable else ""
    elif isinstance(error, click.ClickException):
        misused = error.ctx if isinstance(error, click.UsageError) else None
        code, retryable = "INVALID_ARGUMENT" if misused else "INTERNAL", False
        text = " ".join(error.format_message().split())
        hint = f"`{misused.command_path} --help` says how it is used." if misused else ""
    else:
        code, retryable, hint = "INTERNAL", False, "" if debug else _DEBUG
        text = f"{type(error).__name__}: {text}"
    if as_json:
        document = {"code": code, "message": text, "retryable": retryable}
        click.echo(json.dumps({"error": document}), err=True)
        return
    click.echo(click.style("Error: ", fg="red", bold=True) + text, err=True)
    for line in (*getattr(error, "__notes__", ()), hint):
        if line:
            click.echo(line, err=True)
