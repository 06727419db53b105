"""Attaches and detaches volumes on another host, with its command over SSH."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from typing import Any

import click

from cinderlib import errors, serialization
from cinderlib.cli import items, output
from cinderlib.cli.app import App
from cinderlib.value_checks import shown

#: ssh's exit code if it could not run the command.
_NOT_RUN = 255


class OtherHost:
    """A host that SSH reaches, with the command ``cinderlib``.

    :param name: as ``ssh`` takes it: a host, or ``user@host``.
    :param ssh: the command with its options.
    """

    def __init__(self, name: str, ssh: str) -> None:
        if name.startswith("-"):
            raise errors.InvalidInput(f"{shown(name)} is not the name of a host")
        self.name = name
        try:
            self._ssh = shlex.split(ssh)
        except ValueError as exc:
            raise click.UsageError(f"--ssh: {exc}") from None
        if not self._ssh:
            raise click.UsageError("--ssh is empty.")

    def connector(self) -> dict[str, Any]:
        """The connector properties of the host.

        :raises NodeError: they cannot be read.
        """
        text = self._run("node", "connector")
        with contextlib.suppress(json.JSONDecodeError):
            found = json.loads(text)
            if isinstance(found, dict):
                return found
        raise errors.NodeError(f"The connector properties of host {self.name} are not JSON")

    def attach(self, document: dict[str, Any]) -> str:
        """Attach a volume on the host.

        :param document: the connection document; it can contain keys.
        :returns: the path of the device.
        :raises NodeError: it could not be attached.
        """
        return self._run("node", "attach", "-", given=json.dumps(document)).strip()

    def detach(self, document: dict[str, Any]) -> None:
        """Detach a volume on the host.

        :raises NodeError: it could not be detached.
        """
        self._run("node", "detach", "-", given=json.dumps(document))

    def _run(self, *arguments: str, given: str = "") -> str:
        # The arguments are fixed words: the shell of the other host reads them.
        command = [*self._ssh, self.name, "cinderlib", *arguments]
        try:
            done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        except OSError as exc:
            raise errors.MissingDependency(
                f"Cannot run {shown(self._ssh[0])}: {exc.strerror}"
            ) from None
        if done.returncode == 0:
            return done.stdout
        lines = [output.visible(line) for line in done.stderr.splitlines() if line.strip()]
        reason = lines[-1].removeprefix("Error: ") if lines else f"exit code {done.returncode}"
        what = "ssh failed" if done.returncode == _NOT_RUN else f"`{' '.join(command[-3:])}` failed"
        raise errors.NodeError(f"On host {self.name}, {what}: {reason}")


def attach(app: App, volume: Any, host: OtherHost, *, read_only: bool) -> tuple[Any, str]:
    """Connect a volume for another host and attach it there.

    :returns: the connection, and the path of the device.
    :raises NodeError: the host could not attach it; it was disconnected again.
    """
    connector = host.connector()
    mode: dict[str, Any] = {"attach_mode": "ro"} if read_only else {}
    app.backend_of(volume)
    connection = volume.connect(connector, attached_host=connector.get("host"), **mode)
    created = connection.changed
    try:
        return connection, host.attach(connection.connection_info)
    except BaseException as exc:
        if created:
            try:
                host.detach(serialization.wire(connection.record))
                volume.disconnect(connection)
            except errors.CinderlibError as failed:
                exc.add_note(
                    f"The volume is still connected to that host: {failed}. Disconnect it with"
                    " `cinderlib volume disconnect`"
                )
        raise


def detach(app: App, volume: Any, host: OtherHost) -> bool:
    """Detach a volume on another host and disconnect it.

    :returns: whether it was connected to that host.
    """
    name = host.connector().get("host")
    found = [each for each in volume.connections if name in items.hosts_of(each)]
    for connection in found:
        app.backend_of(connection)
        host.detach(serialization.wire(connection.record))
        volume.disconnect(connection)
    return bool(found)
