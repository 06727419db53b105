"""Keys of encrypted volumes outside the store, on the command line."""

from __future__ import annotations

from cli.command import Command


def test_a_key_in_a_file_from_its_creation_to_its_deletion(cinderlib: Command) -> None:
    before = cinderlib.config.read_text()
    table = '\n[volume_keys]\nmanager = "file"\nfolder = "keys"\n'
    cinderlib.config.write_text(before + table)
    folder = cinderlib.config.parent / "keys"
    encrypted = ("--encryption", "provider=luks2")
    volume = cinderlib("volume", "create", "data", "1GiB", *encrypted, "--json").json
    (file,) = folder.iterdir()  # relative to the configuration file
    assert volume["encryption_key_ref"] == f"file:{file.stem}"
    key = file.read_text()
    outputs = [
        cinderlib("volume", "show", "data", "-o", "json"),
        cinderlib("store", "dump"),
        cinderlib("log", "-o", "json"),
    ]
    for each in outputs:
        assert key not in each.stdout + each.stderr
    cinderlib("volume", "clone", "data", "copy")
    assert len(list(folder.iterdir())) == 2
    file.chmod(0o644)
    refused = cinderlib("volume", "clone", "data", "another", ends=8).stderr
    assert "chmod 600" in refused
    assert "Nothing changed" in refused
    assert len(cinderlib("volume", "list", "--json").json) == 2
    cinderlib("volume", "delete", "copy", "data", "--yes")
    assert list(folder.iterdir()) == []


def test_a_wrong_setting_is_found_by_the_check(cinderlib: Command) -> None:
    before = cinderlib.config.read_text()
    cinderlib.config.write_text(f'{before}\n[volume_keys]\nmanager = "vault"\n')
    assert "manager: Invalid enum value 'vault'" in cinderlib("config", "check", ends=2).stdout
    cinderlib.config.write_text(f'{before}\n[volume_keys]\nmanger = "file"\n')
    assert "did you mean 'manager'?" in cinderlib("config", "check", ends=2).stdout
    cinderlib.config.write_text(f'{before}\n[volume_keys]\nmanager = "file"\n')
    refused = cinderlib("volume", "create", "data", "1GiB", ends=2).stderr
    assert "the manager file needs folder" in refused
