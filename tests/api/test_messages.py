"""Error messages for common mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cinderlib as cl


@pytest.mark.library(reason="about options of backends")
def test_an_option_that_the_driver_refuses_is_a_configuration_error(
    controller: cl.Controller,
) -> None:
    with pytest.raises(cl.errors.ConfigurationError, match="'relative'") as caught:
        controller.backend("here", volume_driver="file", file_root="relative")
    assert not caught.value.retryable
    assert not controller.backends


def test_the_error_for_an_empty_connector(backend: cl.Backend) -> None:
    volume = backend.create_volume(1)
    with pytest.raises(cl.errors.InvalidConnector, match="is empty"):
        volume.connect({})


def test_the_error_for_missing_permissions(tmp_path: Path) -> None:
    program = (
        "import cinderlib as cl\n"
        "try:\n    cl.Node(root_helper='false').connector_properties('iscsi')\n"
        "except cl.errors.NodeError as error:\n    print(error)\n"
    )
    user = []
    if os.geteuid() == 0:
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-B"]
        if subprocess.run([*user, "-c", "import cinderlib"], cwd="/", check=False).returncode:
            pytest.skip(f"other users may not run {sys.executable}: make the environment elsewhere")
    done = subprocess.run(
        [*(user or [sys.executable]), "-c", program],
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "this needs root, and the root helper 'false' did not allow it" in done.stdout
