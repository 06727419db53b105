"""The command shows what a backend can do."""

from __future__ import annotations

from cli.command import Command


def test_capabilities_of_a_backend(cinderlib: Command) -> None:
    rows = {row[0]: row[1:] for row in cinderlib("backend", "capabilities").rows}
    assert rows["volume.clone"] == ["native"]
    assert rows["volume.multiattach"] == ["none", "no", "pool", "reports", "multiattach"]
    listed = cinderlib("backend", "capabilities", "--json").json
    assert [each["operation"] for each in listed] == list(rows)
    assert "volume.multiattach" in cinderlib("backend", "show", "--json").json["unsupported"]
