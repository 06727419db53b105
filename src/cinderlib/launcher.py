"""What the installed programs run: they hand themselves to a warm process if there is one.

Imports take most of a program's time, and a running service has done them. This process passes
its arguments, folder, environment and standard streams over a socket, forwards signals, and exits
with the program's exit code. It imports as little as it can. Without a service, or if the service
refuses this user, the program runs here.
"""

from __future__ import annotations

import os
import sys

from cinderlib import service_address

#: Verbs that are not handed over: they run until they are stopped.
_NEVER = ("serve", "csi")


def main() -> None:
    """Run the command ``cinderlib``, here or in the warm process."""
    if not any(noun in sys.argv[1:2] for noun in _NEVER):
        _run_warm(
            "cinderlib",
            service_address.COMMAND,
            "Error: The service ended while the command ran; `cinderlib recover` settles what was"
            " left.",
            8,
        )
    from cinderlib.cli.main import main as command

    command()


def adapter() -> None:
    """Run ``cinderlib-adapter``, here or in the warm process."""
    _run_warm(
        "cinderlib-adapter",
        service_address.ADAPTER,
        "error The service ended while the verb ran, so its result is unknown; repeat it",
        1,
    )
    from cinderlib.ovirt.adapter import main as program

    program()


def helper() -> None:
    """Run ``managedvolume-helper-cinderlib``, here or in the warm process."""
    _run_warm(
        "managedvolume-helper-cinderlib",
        service_address.COMMAND,
        "The service ended while the verb ran, so its result is unknown; repeat it",
        1,
    )
    from cinderlib.ovirt.helper import main as program

    program()


def _run_warm(program: str, socket: str, lost: str, code_if_lost: int) -> None:
    """Run a program in a warm process, and exit; return if there is none that accepts it.

    :param socket: the socket of the service that runs it.
    :param lost: the message if the warm process ended meanwhile.
    """
    for service in service_address.sockets():
        connection, pid = _hand_over(program, service_address.program_socket(service, socket))
        if connection is not None:
            code = _wait(connection, pid)
            if code is None:
                sys.stderr.write(f"{lost}\n")
                code = code_if_lost
            os._exit(code)


def _hand_over(program: str, path: str) -> tuple[object, int]:
    """Hand the program over to the warm process.

    :returns: the connection to it, and the ID of the process that runs the program; ``None`` if
        no warm process accepted it.
    """
    import _socket  # what the module socket imports takes longer than the rest of this function

    closed = [number for number in range(3) if not _is_open(number)]
    connection = None
    try:
        # The next file that is opened gets the lowest free number, and the connection must not get
        # the number of a standard stream.
        for _ in closed:
            os.open(os.devnull, os.O_RDWR)
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        connection.connect(path)
        streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
        connection.sendmsg(
            [_request(program, closed)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)]
        )
        answer = connection.recv(64)
    except (OSError, ValueError):
        answer = b""
    if connection is not None and answer.startswith(b"pid "):
        return connection, int(answer[4:])
    # No service, or it refused: the program runs here, with the same streams closed.
    for number in closed:
        os.close(number)
    return None, 0


def _request(program: str, closed: list[int]) -> bytes:
    """What the warm process gets: values that cannot contain a zero byte, separated by one."""
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    numbers = (_umask(), "".join(map(str, closed)), len(arguments))
    return b"\0".join(
        [
            program.encode(),
            *(str(number).encode() for number in numbers),
            os.getcwdb(),
            *arguments,
            *(b"%s=%s" % pair for pair in os.environb.items()),
        ]
    )


def _wait(connection: object, pid: int) -> int | None:
    """
    :returns: the exit code of the program; ``None`` if the warm process ended before.
    """
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
        return None
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
