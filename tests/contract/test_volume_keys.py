"""The places for keys of encrypted volumes outside the store: files, Vault's replacement, and
Barbican's server."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import key_managers
import pytest
from key_managers import KeyManagerServer

from cinderlib import errors
from cinderlib.keys import VolumeKeys, configured

KEY = "0123456789abcdef" * 4
BARBICAN = pytest.param(
    "barbican",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not key_managers.HAS_BARBICAN, reason="needs the package barbican"),
    ],
)


class Place:
    """A place for keys.

    :ivar server: the key manager; ``None`` for files.
    """

    def __init__(self, settings: dict[str, str], server: KeyManagerServer | None) -> None:
        self.settings, self.server = settings, server
        self.keys = configured(settings)

    def count(self) -> int:
        """The number of keys in it."""
        if self.server is not None:
            return len(self.server.keys())
        folder = Path(self.settings["folder"])
        return len(list(folder.iterdir())) if folder.exists() else 0

    def put(self, volume_id: str = "volume", key: str = KEY) -> str:
        return self.keys.put(self.keys.reserve(volume_id), volume_id, key)


@pytest.fixture(params=["file", "vault", "vault version 1", BARBICAN])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "file":
        yield Place({"manager": "file", "folder": str(tmp_path / "keys")}, None)
        return
    servers = {
        "vault": lambda: key_managers.vault(tmp_path),
        "vault version 1": lambda: key_managers.vault(tmp_path, version=1),
        "barbican": lambda: key_managers.barbican(tmp_path),
    }
    with servers[request.param]() as server:
        yield Place({"manager": "castellan", "castellan_config": server.config}, server)


def test_keys_are_kept_and_deleted(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    kept = [place.put(f"v{number}", key=f"{number:02d}{KEY}") for number in range(12)]
    assert len(set(kept)) == 12
    assert place.count() == 12
    another = configured(place.settings)  # as in another process
    assert [another.get(each, "v") for each in kept] == [f"{n:02d}{KEY}" for n in range(12)]
    another.delete(kept[3], "v3")
    another.delete(kept[3], "v3")
    assert place.count() == 11
    with pytest.raises(errors.KeyManagerError, match="key of encrypted volume v3 cannot be read"):
        another.get(kept[3], "v3")
    for secret in (KEY, key_managers.TOKEN, key_managers.PASSWORD):
        assert secret not in caplog.text
        assert secret not in repr((another, place.keys, kept))


def test_a_key_whose_id_was_lost_is_deleted_by_its_reservation(place: Place) -> None:
    for number in range(12):
        place.put(f"v{number}")
    reserved = place.keys.reserve("lost")
    place.keys.put(reserved, "lost", KEY)
    assert place.count() == 13
    place.keys.delete(reserved, "lost")
    assert place.count() == 12
    place.keys.delete(place.keys.reserve("never kept"), "never kept")
    assert place.count() == 12


def test_a_volume_with_the_same_id_never_gets_the_key_of_another(place: Place) -> None:
    first, second = place.put("same", KEY), place.put("same", KEY[::-1])
    place.keys.delete(second, "same")
    assert place.keys.get(first, "same") == KEY


@pytest.mark.parametrize("place", ["vault", BARBICAN], indirect=True)
def test_refused_credentials_are_named(place: Place) -> None:
    kept = place.put()
    assert place.server is not None
    place.server.forbids = True
    with pytest.raises(errors.KeyManagerError, match="Check the credentials in its configuration"):
        place.keys.get(kept, "volume")


@pytest.mark.parametrize("place", ["vault"], indirect=True)
def test_a_sealed_vault_is_named(place: Place) -> None:
    kept = place.put()
    assert place.server is not None
    place.server.sealed = True
    with pytest.raises(errors.KeyManagerError, match=r"Is it sealed, or in standby\?") as caught:
        place.keys.get(kept, "volume")
    assert caught.value.retryable
    with pytest.raises(errors.KeyManagerError, match=r"sealed"):
        place.keys.delete(kept, "volume")
    with pytest.raises(errors.KeyManagerError, match=r"sealed"):
        place.put()
    place.server.sealed = False
    assert place.keys.get(kept, "volume") == KEY


@pytest.mark.parametrize("place", ["vault"], indirect=True)
def test_a_key_that_is_not_stored_is_noticed(place: Place) -> None:
    assert place.server is not None
    place.server.loses = True
    with pytest.raises(errors.KeyManagerError, match="does not return the key that was stored"):
        place.put()


def test_an_address_without_a_server_is_named(tmp_path: Path) -> None:
    config = tmp_path / "castellan.conf"
    config.write_text(
        "[key_manager]\nbackend = vault\n[vault]\nvault_url = http://127.0.0.1:1\n"
        "root_token_id = t\n"
    )
    keys = configured({"manager": "castellan", "castellan_config": str(config)})
    with pytest.raises(errors.KeyManagerError, match=r"127\.0\.0\.1.*port=?\W*1"):
        keys.get("castellan:x", "volume")
    config.write_text("[key_manager]\nbackend = nothing.like.it\n")
    other = configured({"manager": "castellan", "castellan_config": str(config)})
    with pytest.raises(errors.ConfigurationError, match="castellan cannot be used with"):
        other.get("castellan:x", "volume")
    config.unlink()
    third = configured({"manager": "castellan", "castellan_config": str(config)})
    with pytest.raises(errors.ConfigurationError, match=str(config)):
        third.get("castellan:x", "volume")


# --- files ---------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[VolumeKeys, Path]:
    """Keys in files, and their folder."""
    folder = tmp_path / "of" / "keys"
    return configured({"manager": "file", "folder": str(folder)}), folder


def test_only_the_owner_can_access_files(files: tuple[VolumeKeys, Path]) -> None:
    keys, folder = files
    before = os.umask(0)
    try:
        kept = keys.put(keys.reserve("a/../b"), "v", KEY)
    finally:
        os.umask(before)
    (file,) = folder.iterdir()
    assert file.name == f"{kept.removeprefix('file:')}.key"
    assert file.name.startswith("a%2F..%2Fb.")
    assert file.read_text() == KEY  # without an end of line, for `cryptsetup --key-file`
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    file.write_text(f"{KEY}\n")  # as an editor writes it
    assert keys.get(kept, "v") == KEY
    file.chmod(0o640)
    with pytest.raises(errors.KeyManagerError, match=r"mode is 0640.*chmod 600.*Nothing changed"):
        keys.get(kept, "v")
    file.chmod(0o600)
    folder.chmod(0o755)
    for call in (keys.get, keys.delete):
        with pytest.raises(errors.KeyManagerError, match=r"mode is 0755.*chmod 700"):
            call(kept, "v")
    with pytest.raises(errors.KeyManagerError, match="cannot be kept in folder"):
        keys.put(keys.reserve("w"), "w", KEY)
    assert file.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_the_files_of_others_are_refused(files: tuple[VolumeKeys, Path]) -> None:
    keys, folder = files
    kept = keys.put(keys.reserve("v"), "v", KEY)
    (file,) = folder.iterdir()
    os.chown(file, 12345, -1)
    with pytest.raises(errors.KeyManagerError, match=r"belongs to the user with the ID 12345"):
        keys.get(kept, "v")


@pytest.mark.parametrize("content", ["", "xyz", "abc", f"{KEY}\n{KEY}"])
def test_a_file_without_a_key_is_refused(files: tuple[VolumeKeys, Path], content: str) -> None:
    keys, folder = files
    kept = keys.put(keys.reserve("v"), "v", KEY)
    (file,) = folder.iterdir()
    file.write_text(content)
    with pytest.raises(errors.KeyManagerError, match="does not contain a key") as caught:
        keys.get(kept, "v")
    assert KEY not in str(caught.value)


def test_a_link_and_a_foreign_name_are_refused(
    files: tuple[VolumeKeys, Path], tmp_path: Path
) -> None:
    keys, folder = files
    kept = keys.put(keys.reserve("v"), "v", KEY)
    (file,) = folder.iterdir()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(errors.KeyManagerError, match="symbolic link"):
        keys.get(kept, "v")
    for name in ("file:../elsewhere", "file:/etc/passwd", "file:."):
        with pytest.raises(errors.KeyManagerError, match="is not the name of a key"):
            keys.get(name, "v")


# --- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"manager": "vault"}, "must be one of store, file, castellan, not 'vault'"),
        ({"manager": "file"}, "the manager file needs folder"),
        ({"manager": "castellan", "folder": "/x"}, "the manager castellan needs castellan_config"),
        ({"manager": "file", "folder": "keys"}, "must be an absolute path, not 'keys'"),
        ({"dir": "/keys"}, "no setting 'dir'; known: manager, folder, castellan_config"),
        ("file", "must be a mapping"),
    ],
)
def test_settings_that_are_not_valid_are_named(settings: Any, message: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=message):
        configured(settings)


def test_a_place_that_is_not_configured_is_named() -> None:
    keys = configured(None)
    assert not keys.are_outside
    with pytest.raises(errors.KeyManagerError, match=r"Set folder in \[volume_keys\]"):
        keys.get("file:x", "volume")
    with pytest.raises(errors.KeyManagerError, match="This version knows store, file, castellan"):
        keys.get("tpm:x", "volume")
