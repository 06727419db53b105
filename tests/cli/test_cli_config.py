"""The configuration file."""

from __future__ import annotations

import importlib.util
import pathlib
import tomllib

import pytest
from cli.command import Command

from cinderlib import drivers
from cinderlib.cli.nouns.config import SECRET


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[stor]\nconnection = 'sqlite://'", 1, "did you mean 'store'?"),
        ("[store]\nconection = 'sqlite://'", 1, "did you mean 'connection'?"),
        ("\n[controller]\n# a comment\nhots = 'x'", 4, "did you mean 'host'?"),
        ("[controller]\nrecover = 'yes'", 2, "recover: Expected bool, got str"),
        ("[backends.b]\nvolume_drivr = 'file'", 2, "is 'volume_drivr' a misspelling of it?"),
        ("[backends.b]\nvolume_driver = 'file'\nfile_rot = '/x'", 3, "did you mean 'file_root'?"),
        ("[backends.b]\nvolume_driver = 'fil'", 2, "file"),
        ("[backends.'a@b']\nvolume_driver = 'file'", 1, "a@b"),
        ("[backends]\nb = 1", 2, "must be a table"),
        ("backends = [\n1,\n2]", 1, "must be a table"),
        ("[controller]\nhost = x", 2, "not valid TOML"),
        (
            "[cinder]\nmy_pi = '::1'\n[backends.b]\nvolume_driver = 'file'",
            2,
            "did you mean 'my_ip'?",
        ),
        ("[store]\nstorage = 'dbb'", 1, "Unknown persistence 'dbb'"),
    ],
)
def test_check_reports_the_line_with_a_suggestion(
    cinderlib: Command, text: str, line: int, says: str
) -> None:
    state = f'state_path = "{cinderlib.folder}/state"'
    if "[controller]\n" in text:
        text = f"{text}\n{state}" if text.count("[") == 1 else text
    else:
        text = f"{text}\n[controller]\n{state}"
    cinderlib.config.write_text(text)
    found = cinderlib("config", "check", ends=2)
    output = " ".join((found.stdout + found.stderr).split())
    assert f"{cinderlib.config}:{line}: " in output
    assert says in output


def test_check_of_a_valid_file(cinderlib: Command) -> None:
    assert "1 backend" in cinderlib("config", "check").stderr


def test_check_reports_all_errors_at_once(cinderlib: Command) -> None:
    cinderlib.config.write_text("[stor]\n[controller]\nhots = 1\n[backends.b]\n")
    assert len(cinderlib("config", "check", "--json", ends=2).json) == 3


def test_secrets_by_reference(cinderlib: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = cinderlib.folder / "url"
    secret.write_text(f"sqlite:///{cinderlib.folder}/elsewhere.sqlite\n")
    cinderlib.write(
        f"""
        [store]
        connection = {{ file = "url" }}
        [controller]
        state_path = "{cinderlib.folder}/state"
        [backends.files]
        volume_driver = "file"
        file_root = {{ env = "WHERE" }}
        """
    )
    refused = cinderlib("config", "check", ends=2)
    assert ":7: the environment variable WHERE is not set" in refused.stdout
    # Commands that do not need the variable work.
    assert cinderlib("volume", "list", "--json").json == []
    monkeypatch.setenv("WHERE", str(cinderlib.volumes))
    cinderlib("volume", "create", "x", "1GiB")
    assert len(cinderlib.files) == 1
    assert (cinderlib.folder / "elsewhere.sqlite").exists()


def test_show_has_no_secrets(cinderlib: Command) -> None:
    cinderlib.write(
        """
        [store]
        connection = "postgresql://user:secret-1@server/db"
        [backends.array]
        volume_driver = "pure_iscsi"
        san_password = "secret-2"
        pure_api_token = "secret-3"
        san_ip = "192.0.2.7"
        replication_device = ["backend_id:x,api_token:secret-4"]
        """
    )
    for arguments in (["config", "show"], ["config", "show", "--json"]):
        shown = cinderlib(*arguments).stdout
        assert "secret-" not in shown
        assert "192.0.2.7" in shown
        assert "user:***@server" in shown


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:a/hunter2@server/db", "postgresql://u:a hunter2@server/db",
     "postgresql://server/db?password=hunter2", "postgresql:u:hunter2@server"],
)  # fmt: skip
def test_no_form_of_a_url_shows_its_password(cinderlib: Command, url: str) -> None:
    cinderlib.write(
        f"""
        [controller]
        state_path = "state"
        lock_url = "{url}"
        [store]
        connection = "{url}"
        [backends.array]
        volume_driver = "file"
        file_root = "volumes"
        """
    )
    done = [cinderlib("config", "show"), cinderlib("config", "show", "--json")]
    done += [cinderlib("volume", "list", "--debug", ends=None)]
    done += [cinderlib("config", "check", ends=2), cinderlib("doctor", ends=None)]
    assert not [each for each in done if "hunter2" in each.stdout + each.stderr]


@pytest.mark.slow
@pytest.mark.core
def test_all_secret_options_of_cinder_are_hidden() -> None:
    listed = drivers.list_supported().values()
    secret = {o["name"] for d in listed for o in d["driver_options"] if o["secret"]}
    assert len(secret) > 10
    assert not {name for name in secret if not SECRET.search(name)}


def test_a_warning_about_a_readable_file_with_secrets(cinderlib: Command) -> None:
    cinderlib.write('[backends.b]\nvolume_driver = "lvm"\nsan_password = "x"')
    cinderlib.config.chmod(0o644)
    assert "chmod 600" in cinderlib("config", "check", "--no-store").stdout


def test_of_a_cinder_conf(cinderlib: Command) -> None:
    conf = cinderlib.folder / "cinder.conf"
    conf.write_text(
        "[DEFAULT]\nenabled_backends = one, two,gone\nmy_ip = 192.0.2.1\ndebug = true\n"
        "transport_url = rabbit://x:secret@y\n"
        "[backend_defaults]\nuse_multipath_for_image_xfer = true\n"
        f"[one]\nvolume_driver = file\nfile_root = {cinderlib.volumes}\n"
        "volume_backend_name = other\n"
        "[two]\nvolume_driver = cinder.volume.drivers.pure.PureISCSIDriver\n"
        'pure_api_token = quo"te\\$1\nreplication_device = a:1\nreplication_device = b:2\n'
        "[not_enabled]\nvolume_driver = file\n"
    )
    made = cinderlib("config", "from-cinder", str(conf))
    assert "gone" in made.stderr
    data = tomllib.loads(made.stdout)
    assert data["cinder"] == {"my_ip": "192.0.2.1"}
    assert list(data["backends"]) == ["one", "two"]
    assert data["backends"]["two"]["pure_api_token"] == 'quo"te$1'
    assert data["backends"]["two"]["replication_device"] == ["a:1", "b:2"]
    assert data["backends"]["one"]["use_multipath_for_image_xfer"] == "true"

    target = cinderlib.folder / "new.toml"
    cinderlib("config", "from-cinder", str(conf), "-o", str(target))
    assert target.stat().st_mode & 0o777 == 0o600
    cinderlib("config", "from-cinder", str(conf), "-o", str(target), ends=4)
    target.write_text(
        f'{target.read_text()}\n[controller]\nstate_path = "{cinderlib.folder}/state"\n'
    )
    made = cinderlib("--config", str(target), "volume", "create", "v", "1", "--backend", "one")
    assert len(cinderlib.files) == 1


@pytest.mark.parametrize("text", ["[x\ny", "novalue\n", ""])
def test_invalid_cinder_conf_files(cinderlib: Command, text: str) -> None:
    conf = cinderlib.folder / "cinder.conf"
    conf.write_text(text)
    assert cinderlib("config", "from-cinder", str(conf), ends=2).stderr.startswith("Error: ")


def test_which_file_is_used(
    cinderlib: Command, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "user" / "cinderlib"
    user.mkdir(parents=True)
    (user / "cinderlib.toml").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    assert cinderlib("config", "path").line == str(cinderlib.config)
    other = tmp_path / "other.toml"
    assert "--config" in cinderlib("config", "path", "--config", str(other), ends=2).stderr
    other.write_text("")
    assert cinderlib("config", "path", "--config", str(other)).line == str(other)
    cinderlib.environment["CINDERLIB_CONFIG"] = ""
    assert cinderlib("config", "path").line == str(user / "cinderlib.toml")


def test_a_choice_of_backends_requires_a_name(cinderlib: Command) -> None:
    text = cinderlib.config.read_text()
    cinderlib.config.write_text(text + f"\n[backends.more]\n{_options(cinderlib, 'more')}")
    refused = cinderlib("volume", "create", "x", "1GiB", ends=2)
    assert "files, more" in refused.stderr
    cinderlib("volume", "create", "x", "1GiB", "--backend", "more")
    misspelt = cinderlib("volume", "create", "x", "1GiB", "--backend", "mor", ends=5)
    assert "did you mean 'more'?" in misspelt.stderr


def _options(cinderlib: Command, name: str) -> str:
    return f'volume_driver = "file"\nfile_root = "{cinderlib.folder / name}"\n'


def test_backend_check_exits_with_1_for_an_unusable_backend(cinderlib: Command) -> None:
    text = cinderlib.config.read_text()
    cinderlib.config.write_text(
        text + '\n[backends.broken]\nvolume_driver = "file"\nfile_root = "/proc/nowhere"\n'
        '[backends.misspelt]\nvolume_driver = "file"\nfile_rot = "volumes"\n'
        '[backends.lacking]\nvolume_driver = "PureISCSIDriver"\n'
        'san_ip = "192.0.2.1"\npure_api_token = "0000"\n'
    )
    done = cinderlib("backend", "check", ends=1)
    assert [row[:2] for row in done.rows] == [
        ["files", "ok"],
        ["broken", "failed"],
        ["misspelt", "failed"],
        ["lacking", "failed"],
    ]
    found = {item["name"]: item for item in cinderlib("backend", "check", "--json", ends=1).json}
    assert found["files"] == {
        "name": "files",
        "ok": True,
        "state": "ok",
        "protocol": "local",
        "pools": ["files"],
        "missing": [],
        "message": "local, 1 pool",
    }
    assert "file_root" in found["misspelt"]["message"]
    if importlib.util.find_spec("pypureclient") is None:
        assert found["lacking"]["missing"] == ["Python package py-pure-client"]
        assert "py-pure-client" in found["lacking"]["message"]
    names = ["files", "broken", "misspelt", "lacking"]
    assert [row[0] for row in cinderlib("backend", "list").rows] == names


@pytest.mark.alone(reason="a service needs the programs in its PATH")
def test_backend_check_lists_missing_optional_commands(
    cinderlib: Command, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "richer.py").write_text(
        "from cinderlib.drivers.file.driver import FileDriver\n"
        "class Richer(FileDriver):\n    __module__ = 'cinder.volume.drivers.vzstorage'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cinderlib("backend", "check")  # imports Cinder, which runs programs
    monkeypatch.setenv("PATH", str(tmp_path))
    text = cinderlib.config.read_text().replace('"file"', '"richer.Richer"')
    cinderlib.config.write_text(text)
    (row,) = cinderlib("backend", "check").rows
    assert " ".join(row) == "files ok local, 1 pool; not installed: command ploop, command qemu-img"


@pytest.mark.parametrize("verb", ["show", "stats"])
def test_a_backend_is_shown(cinderlib: Command, verb: str) -> None:
    assert "files" in cinderlib("backend", verb).stdout
    assert cinderlib("backend", verb, "files", "--json").json


@pytest.mark.slow
def test_drivers(cinderlib: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    usable = cinderlib("driver", "list", "--usable", "--json").json
    assert "file" in {entry.get("short_name") for entry in usable}
    assert "lvm" in cinderlib("driver", "list").stdout
    shown = cinderlib("driver", "show", "file").stdout
    assert "file_root  (string" in shown
    assert "volume.revert" in shown
    assert "san_ip" not in shown
    assert "did you mean 'file'?" in cinderlib("driver", "show", "fiel", ends=3).stderr
    assert "SolidFire" in cinderlib("driver", "list", "netapp").stdout
    assert "pure_iscsi" in cinderlib("driver", "show", "pure", ends=3).stderr
    assert "did you mean" in cinderlib("driver", "list", "netpp", ends=3).stderr


def _included(cinderlib: Command) -> pathlib.Path:
    """A file with a backend that the configuration includes."""
    folder = cinderlib.folder / "included"
    folder.mkdir()
    (folder / "password").write_text("secret-of-the-file\n")
    file = folder / "more.toml"
    file.write_text(
        '[backends.more]\nvolume_driver = "file"\nfile_root = "volumes"\n'
        'backend_host = { file = "password" }\n'
    )
    cinderlib.config.write_text(f'include = "included/*.toml"\n{cinderlib.config.read_text()}')
    return file


def test_backends_of_other_files(cinderlib: Command) -> None:
    file = _included(cinderlib)
    assert "2 backends" in cinderlib("config", "check").stderr
    shown = tomllib.loads(cinderlib("config", "show").stdout)
    assert list(shown["backends"]) == ["files", "more"]
    cinderlib("volume", "create", "data", "1", "--backend", "more")
    # Paths are relative to the included file.
    assert list((file.parent / "volumes").glob("volume-*"))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[store]\nconnection = 'sqlite:///x'", 1, "only [backends.NAME], not store"),
        ("\n[backends.files]\nvolume_driver = 'file'", 2, "'files' is also in"),
        ("[backends.more]\nvolume_drivr = 'file'", 2, "a misspelling of it?"),
        ("[backends.more\n", 1, "not valid TOML"),
    ],
)
def test_an_error_in_another_file(cinderlib: Command, text: str, line: int, says: str) -> None:
    file = _included(cinderlib)
    file.write_text(text)
    for command in (("config", "check"), ("volume", "list")):
        found = cinderlib(*command, ends=2)
        output = " ".join((found.stdout + found.stderr).split())
        assert f"{file}:{line}: " in output
        assert says in output
