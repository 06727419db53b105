"""What the installed command ``cinderlib`` runs: hands itself to a warm process if there is one.

Imports take most of the command's time, and a running service has done them. This process passes
its arguments, folder, environment and standard streams over a socket, forwards signals, and exits
with the command's exit code. It imports as little as it can. Without a service, or if the service
refuses this user, the command runs here.
"""

from __future__ import annotations

import os
import sys

from cinderlib import service_address

#: Verbs that are not handed over: they run until they are stopped.
_NEVER = ("serve", "csi")


def main() -> None:
    """Run the command, here or in the warm process."""
    code = None
    if not any(noun in sys.argv[1:2] for noun in _NEVER):
        for socket in service_address.sockets():
            code = _hand_over(service_address.command_socket(socket))
            if code is not None:
                break
    if code is not None:
        os._exit(code)
    from cinderlib.cli.main import main as command

    command()


def _hand_over(path: str) -> int | None:
    """Run the command in the warm process.

    :returns: its exit code; ``None`` if no warm process accepted it.
    """
    import array
    import json
    import socket

    closed = [number for number in range(3) if not _is_open(number)]
    connection = None
    try:
        # The next file that is opened gets the lowest free number, and the connection must not get
        # the number of a standard stream.
        for _ in closed:
            os.open(os.devnull, os.O_RDWR)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(path)
        request = {
            "arguments": sys.argv[1:],
            "folder": os.getcwd(),
            "environment": dict(os.environ),
            "umask": _umask(),
            "closed": closed,
        }
        text = json.dumps(request).encode("ascii")
        rights = array.array("i", range(3))
        connection.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        answer = connection.recv(64)
    except (OSError, ValueError):
        answer = b""
    if connection is not None and answer.startswith(b"pid "):
        return _wait(connection, int(answer[4:]))
    # No service, or it refused: the command runs here, with the same streams closed.
    for number in closed:
        os.close(number)
    return None


def _wait(connection: object, pid: int) -> int | None:
    import signal

    def pass_on(number: int, frame: object) -> None:
        try:
            os.kill(pid, number)
        except OSError:  # it has ended, and its exit code follows
            return

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGQUIT):
        signal.signal(number, pass_on)
    try:
        ended = connection.recv(64)  # type: ignore[attr-defined]
    except OSError:
        ended = b""
    if not ended.startswith(b"exit "):
        sys.stderr.write(
            "Error: The service ended while the command ran; `cinderlib recover` settles what was"
            " left.\n"
        )
        return 8
    code = int(ended[5:])
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
