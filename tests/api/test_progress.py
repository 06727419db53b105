"""Progress reports of long operations to programs."""

from __future__ import annotations

from pathlib import Path

import cinderlib as cl
from cinderlib import records
from cinderlib.locking import process_identity
from cinderlib.persistence.base import Put
from cinderlib.records import replace


def test_recovery_reports_the_number_of_settled_operations(root: Path, tmp_path: Path) -> None:
    reports: list[cl.Progress] = []
    with cl.Controller(
        progress=reports.append, recover=False, state_path=tmp_path / "state"
    ) as controller:
        backend = controller.backend("here", volume_driver="file", file_root=str(root))
        volumes = [backend.create_volume(1) for _ in range(3)]
        dead = replace(process_identity.this_process(), boot_id="before-the-reboot")
        for volume in volumes:
            intent = records.IntentRecord(
                id=records.new_id(),
                operation="volume.delete",
                backend="here",
                resource_id=volume.id,
                lock=f"volume:{volume.id}",
                owner=dead,
            )
            controller.store.apply(Put(intent))
        assert [each.outcome for each in controller.recover()] == ["finished"] * 3
        assert reports == [cl.Progress(done, 3, "operations") for done in range(3)]
        assert backend.volumes == []
