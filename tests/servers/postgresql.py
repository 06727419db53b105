"""A PostgreSQL server that listens on a socket in a temporary folder."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import signal
import subprocess
import urllib.parse
from collections.abc import Iterator

import servers

PASSWORD = "pass/word@1"  # must be escaped in a URL
PORT = 5432


class PostgreSQL:
    """A running server; every :meth:`database` is new and empty."""

    def __init__(self, root: pathlib.Path, process: servers.Process) -> None:
        self._root, self._process = root, process
        self._numbers = itertools.count()
        self.start, self.stop, self.restart = process.start, process.stop, process.restart

    def database(self, password: str = PASSWORD) -> str:
        """Create a database whose owner has the password. Returns its URL."""
        name = f"test{next(self._numbers)}"
        owner = "tester" if password == PASSWORD else name
        with contextlib.closing(_connect(self._root)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            if owner != "tester":
                cursor.execute(f"CREATE ROLE {owner} LOGIN PASSWORD %s", (password,))
            cursor.execute(f"CREATE DATABASE {name} OWNER {owner}")
        login = f"{owner}:{urllib.parse.quote(password, safe='')}"
        return f"postgresql://{login}@/{name}?host={self._root}"


def _connect(root: pathlib.Path):
    import psycopg2

    return psycopg2.connect(
        host=str(root), port=PORT, user="tester", password=PASSWORD, dbname="postgres"
    )


@contextlib.contextmanager
def run(*, durable: bool = False) -> Iterator[PostgreSQL]:
    """:param durable: whether a commit waits for the disk, as in production."""
    glob = "usr/lib/postgresql/*/bin/"
    postgres = servers.find("postgres", "postgresql", pattern=glob + "postgres")
    initdb = servers.find("initdb", "postgresql", pattern=glob + "initdb")
    user = servers.unprivileged()
    with servers.folder(user) as root:
        import psycopg2

        (root / "password").write_text(PASSWORD)
        (root / "password").chmod(0o644)
        subprocess.run(
            [
                *(initdb, "-D", str(root / "data"), "-U", "tester", "--no-sync", "-E", "UTF8"),
                *("--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={root / 'password'}"),
            ],
            check=True,
            capture_output=True,
            user=user,
            cwd="/",
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(root),
            "port": PORT,
            "fsync": "on" if durable else "off",
            "max_connections": 200,
        }
        command = [postgres, "-D", str(root / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]

        def ready() -> bool:
            try:
                _connect(root).close()
            except psycopg2.OperationalError:
                return False
            return True

        process = servers.Process(command, user, root / "log", ready, signal.SIGQUIT)
        try:
            process.start()
            yield PostgreSQL(root, process)
        finally:
            process.stop()
