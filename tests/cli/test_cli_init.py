"""The first configuration of a host."""

from __future__ import annotations

import pathlib
import shlex
import stat

import pytest
from cli.command import COMMAND, Command
from cli.terminal import needs_tmux, open_terminal

from cinderlib import drivers

pytestmark = pytest.mark.alone(reason="without a configuration no service runs")

PASSWORD = "S3cretPw99"


@pytest.fixture
def fresh(cinderlib: Command) -> Command:
    """A host without a configuration, and a user with a new home folder."""
    cinderlib.config.unlink()
    home = cinderlib.folder / "home"
    home.mkdir()
    cinderlib.environment.update(HOME=str(home), XDG_STATE_HOME=str(home / "state"))
    return cinderlib


def test_init_writes_a_configuration_that_works(fresh: Command) -> None:
    done = fresh("init", "file", "--option", f"file_root={fresh.volumes}")
    assert done.line == str(fresh.config)
    assert "1 pool" in done.stderr
    assert "cinderlib volume create" in done.stderr
    assert stat.S_IMODE(fresh.config.stat().st_mode) == 0o600
    assert fresh.config.read_text().startswith("# Configuration of cinderlib")
    fresh.config.write_text(
        f'[controller]\nstate_path = "{fresh.folder}/state"\n{fresh.config.read_text()}'
    )
    fresh("volume", "create", "data", "1GiB")
    assert fresh.files
    before = fresh.config.read_text()
    assert "already exists" in fresh("init", ends=4).stderr
    assert fresh.config.read_text() == before


@pytest.mark.slow
def test_a_failed_init_leaves_nothing(fresh: Command) -> None:
    broken = ("init", "file", "--option", "file_root=/proc/nowhere")
    refused = fresh(*broken, ends=1)
    assert "No file was written" in refused.stderr
    assert list(fresh.folder.iterdir()) == [fresh.folder / "home"]
    assert fresh(*broken, "--no-check", "--json").json["backend"] == "files"


@pytest.mark.slow
def test_init_without_a_terminal_requires_the_essential_options(fresh: Command) -> None:
    ambiguous = fresh("init", "netapp", "--no-check", ends=2)
    assert "netapp_server_hostname" in ambiguous.stderr
    several = fresh("init", "pure", "--no-check", ends=2)
    assert "pure_iscsi" in several.stderr
    assert "did you mean" in fresh("init", "powrstore", "--no-check", ends=3).stderr
    assert "no address" in fresh("init", "file", "--address", "192.0.2.1", ends=2).stderr
    complete = ("netapp", "iscsi", "--address", "192.0.2.1", "--user", "admin", "--no-check")
    vserver = ("--option", "netapp_vserver=vs1")
    done = fresh("init", *complete, *vserver, "--password-file", "-", input=f"{PASSWORD}\n")
    assert PASSWORD not in fresh.config.read_text() + done.stdout + done.stderr
    (file,) = fresh.folder.glob("*password")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (f"{PASSWORD}\n", 0o600)
    assert "OK" in fresh("config", "check").stderr
    fresh.config.unlink()
    fresh("init", *complete, *vserver, "--password-env", "SECRET")
    assert '{ env = "SECRET" }' in fresh.config.read_text()


@needs_tmux
@pytest.mark.slow
def test_init_asks_on_a_terminal_and_does_not_show_the_password(fresh: Command) -> None:
    command = shlex.join(COMMAND)
    with open_terminal(fresh.folder, fresh.environment, 80) as terminal:
        terminal.type(f"env -u CINDERLIB_CONFIG {command}; echo ended with $?")
        screen = terminal.until(lambda s: "ended with 2" in s)
        if not pathlib.Path("/etc/cinderlib/cinderlib.toml").exists():
            assert "cinderlib init" in screen[screen.index("no configuration") :]
        terminal.type(f"clear; {command} init --no-check; echo ended with $?")
        terminal.until(lambda s: "[file]:" in s)
        terminal.type("pure")
        terminal.until(lambda s: "pure_nvme" in s and "Driver:" in s)
        terminal.type("2")
        terminal.until(lambda s: "(san_ip):" in s)
        terminal.type("192.0.2.1")
        terminal.until(lambda s: "(pure_api_token):" in s)
        terminal.type(PASSWORD)
        screen = terminal.until(lambda s: "ended with 0" in s)
    assert PASSWORD not in screen
    text = fresh.config.read_text()
    assert 'san_ip = "192.0.2.1"' in text
    assert PASSWORD not in text
    (file,) = fresh.folder.glob("pure_*.pure_api_token")
    assert file.read_text() == f"{PASSWORD}\n"


@pytest.mark.slow
def test_every_essential_option_is_an_option_of_the_driver() -> None:
    for entry in drivers.list_supported().values():
        known = {option["name"] for option in entry["driver_options"]}
        known |= {old for each in entry["driver_options"] for old in each["deprecated_opts"]}
        essential = drivers.essential_options(entry["class_fqn"]).keys()
        # The options of the SPDK target belong to the target, not to the driver.
        assert {
            name for name in essential - known if not name.startswith("spdk_rpc_")
        } == set() or (not known), entry["class_fqn"]
