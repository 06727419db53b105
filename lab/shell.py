"""A shell in a machine of the current run, or in machines that are started for it."""

from __future__ import annotations

import argparse
import socket
import subprocess

from lab.networks import NUMBERS
from lab.run import RUNS, Run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machine", choices=list(NUMBERS))
    name: str = parser.parse_args().machine
    port = _running(name)
    if port is not None:
        _shell(name, port)
        return
    run = Run(lambda line: print(f"lab: {line}", flush=True))
    try:
        _shell(name, run.machine(name).shell_port)
    finally:
        run.stop()


def _running(name: str) -> int | None:
    """The port for shells in a machine of the newest run that has started it."""
    for file in sorted(RUNS.glob(f"*/{name}/shell-port"), reverse=True):
        port = int(file.read_text())
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return port
    return None


def _shell(name: str, port: int) -> None:
    print(f"lab: a shell in {name}; end it with `exit`", flush=True)
    subprocess.run(["socat", "/dev/tty,raw,echo=0", f"TCP:127.0.0.1:{port}"], check=False)


if __name__ == "__main__":
    main()
