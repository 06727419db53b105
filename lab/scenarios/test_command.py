"""The command ``cinderlib`` on two machines. The scenario takes the place of ssh as the pipe."""

from __future__ import annotations

import lvm
from steps import GIB, shows

from lab.machine import Machine
from lab.session import Session

_CONFIGURATION = f"""
[store]
connection = "sqlite:////root/store.sqlite"

{lvm.backend()}"""


@shows("The command, by pipe: node connector, volume connect, node attach", "iSCSI")
def test_by_pipe(controller: Machine, control: Session, node1: Machine, on_node1: Session) -> None:
    control("vol = lvm.create_volume(size=1, name='piped')")
    controller.run(f"umask 077; cat >cinderlib.toml <<'TOML'\n{_CONFIGURATION}TOML")
    on_controller = "cinderlib --config cinderlib.toml"

    # The node has neither a configuration nor a store.
    connector = node1.program("cinderlib node connector")
    connect = f"{on_controller} volume connect piped --connector -"
    document = controller.program(connect, connector)
    path = node1.program("cinderlib node attach -", document).strip()
    written = on_node1("data.write(path)", path=path)
    assert controller.digest(f"/dev/cinder-volumes/{control('vol.name_in_storage')}") == written
    assert path in node1.program("cinderlib node list")

    control("vol.refresh(); vol.extend(2)")
    assert int(node1.program(f"cinderlib node extend {path}")) == 2 * GIB
    assert on_node1("data.read(path)") == written

    node1.program(f"cinderlib node detach {path}")
    assert node1.program("cinderlib --json node list").strip() == "[]"
    controller.program(f"{on_controller} volume disconnect piped --host node1")
    control("vol.refresh(); vol.delete()")
    controller.run("rm cinderlib.toml")
