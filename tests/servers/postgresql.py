"""A PostgreSQL server that listens on a socket in a temporary folder."""

from __future__ import annotations

import contextlib
import pathlib
import signal
from collections.abc import Iterator

import servers
from servers.databases import PASSWORD, USER, DatabaseServer, initialize, running

PORT = 5432


class PostgreSQL(DatabaseServer):
    def create(self, name: str, owner: str, password: str) -> None:
        with contextlib.closing(_connect(self.root)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            if owner != USER:
                cursor.execute(f"CREATE ROLE {owner} LOGIN PASSWORD %s", (password,))
            cursor.execute(f"CREATE DATABASE {name} OWNER {owner}")

    def url(self, name: str, login: str) -> str:
        return f"postgresql://{login}@/{name}?host={self.root}"


def _connect(root: pathlib.Path):
    import psycopg2

    return psycopg2.connect(
        host=str(root), port=PORT, user=USER, password=PASSWORD, dbname="postgres"
    )


@contextlib.contextmanager
def run(*, durable: bool = False) -> Iterator[PostgreSQL]:
    """:param durable: whether a commit waits for the disk, as in production."""
    glob = "usr/lib/postgresql/*/bin/"
    postgres = servers.find("postgres", "postgresql", pattern=glob + "postgres")
    initdb = servers.find("initdb", "postgresql", pattern=glob + "initdb")
    user = servers.unprivileged()
    with servers.folder(user, in_memory=not durable) as root:
        import psycopg2

        (root / "password").write_text(PASSWORD)
        (root / "password").chmod(0o644)
        initialize(
            [
                *(initdb, "-D", str(root / "data"), "-U", USER, "--no-sync", "-E", "UTF8"),
                *("--locale=C.UTF-8", "-A", "scram-sha-256", f"--pwfile={root / 'password'}"),
            ],
            user,
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

        refused = psycopg2.OperationalError
        with running(PostgreSQL, root, command, user, _connect, refused, signal.SIGQUIT) as server:
            yield server
