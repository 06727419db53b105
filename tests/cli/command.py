"""Runs the command in this process, with the embedded driver."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Collection
from typing import Any

from click.testing import CliRunner

from cinderlib.cli.main import cli

#: Runs the installed command, independent of the path of the script.
COMMAND = [sys.executable, "-c", "from cinderlib.cli.main import main; main()"]


@dataclasses.dataclass(frozen=True)
class Done:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)

    @property
    def line(self) -> str:
        """Its only line of output."""
        (line,) = self.stdout.splitlines()
        return line

    @property
    def rows(self) -> list[list[str]]:
        """The table in the output, without its header."""
        return [line.split() for line in self.stdout.splitlines()[1:]]


class Command:
    """``cinderlib`` in a new folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.config = folder / "cinderlib.toml"
        self.volumes = folder / "volumes"
        self.write(
            f"""
            [controller]
            state_path = "{folder}/state"

            [backends.files]
            volume_driver = "file"
            file_root = "{self.volumes}"
            """
        )
        self.environment = {"CINDERLIB_CONFIG": str(self.config)}

    def write(self, text: str) -> None:
        self.config.write_text("\n".join(line.strip() for line in text.strip().splitlines()))
        self.config.chmod(0o600)

    def __call__(
        self, *arguments: str, input: str | bytes | None = None, ends: int | None = 0
    ) -> Done:
        """Run the command.

        :param ends: the expected exit code; ``None`` for any.
        """
        done = CliRunner().invoke(cli, arguments, input=input, env=self.environment)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert ends in (None, done.exit_code), done.output
        return Done(done.exit_code, done.stdout, done.stderr)

    def process(
        self, *arguments: str, without: Collection[str] = (), **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in a new process.

        :param without: environment variables to remove.
        """
        return self._run(COMMAND, *arguments, without=without, **options)

    def _run(
        self, command: list[str], *arguments: str, without: Collection[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            [*command, *arguments],
            env={name: value for name, value in environment.items() if name not in without},
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    @property
    def files(self) -> list[str]:
        """The names of the files on the storage."""
        return sorted(p.name for p in self.volumes.glob("*") if not p.name.startswith("."))
