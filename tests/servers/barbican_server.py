"""Runs Barbican's API with a database in SQLite, and without Keystone's check of tokens.

Arguments: a folder for its configuration and database. It prints the port on which it listens.
"""

from __future__ import annotations

import os
import pathlib
import sys
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

_CONFIG = """
[DEFAULT]
db_auto_create = True
host_href =
[database]
connection = sqlite:///{folder}/barbican.sqlite
[secretstore]
namespace = barbican.secretstore.plugin
enabled_secretstore_plugins = store_crypto
[crypto]
namespace = barbican.crypto.plugin
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXoxMjM0NTY=
"""


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main(folder: pathlib.Path) -> None:
    """Serve until the process is ended."""
    os.environ["HOME"] = str(folder)  # Barbican searches it for its configuration
    config = folder / ".barbican" / "barbican.conf"
    config.parent.mkdir()
    config.write_text(_CONFIG.format(folder=folder))
    from paste import deploy

    pipeline = pathlib.Path(sys.prefix, "etc/barbican/barbican-api-paste.ini")
    text = pipeline.read_text().replace("authtoken context", "context")
    (folder / "paste.ini").write_text(text)
    app = deploy.loadapp(f"config:{folder}/paste.ini", name="main")

    def of_project(environ: dict[str, Any], start_response: Any) -> Any:
        # What Keystone's middleware does for a token.
        checked = {"PROJECT_ID": "p", "USER_ID": "u", "ROLES": "member,creator,admin"}
        checked["IDENTITY_STATUS"] = "Confirmed"
        headers = {f"HTTP_X_{name}": value for name, value in checked.items()}
        return app({**environ, **headers}, start_response)

    with make_server("127.0.0.1", 0, of_project, handler_class=_Silent) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
