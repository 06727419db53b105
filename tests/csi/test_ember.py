"""Volumes of Ember-CSI, which the plug-in takes over. Its resources were written by cinderlib 5."""

from __future__ import annotations

import copy
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from in_process import Calls

from cinderlib import errors, serialization
from cinderlib.cli import ember
from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import GIB

DATA = pathlib.Path(__file__).parents[1] / "data" / "cinderlib5"
FOREIGN = "00000000-0000-4000-8000-000000000005"


@pytest.fixture
def resources() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DATA / "ember.json").read_text())
    return found


def _read(resources: Any) -> list[serialization.VolumeDocument]:
    return list(ember.read(io.BytesIO(json.dumps(resources).encode()), "ember-csi.io"))


def test_a_volume_is_used_with_its_handle(tmp_path: pathlib.Path, resources: Any) -> None:
    """The handle in a PersistentVolume of Ember-CSI is the ID of the volume."""
    calls = Calls(tmp_path, "other", name="ember-csi.io")
    for document in _read(resources):
        if document.backend_name == "other":
            calls.controller.load(serialization.to_text(document), save=True)
    calls.create("stands-in")
    (made,) = (tmp_path / "volumes").rglob("volume-*")
    size = m.CapacityRange(required_bytes=2 * GIB)
    with made.open("r+b") as file:
        file.truncate(2 * GIB)
    made.rename(made.with_name(f"volume-{FOREIGN}"))

    listed = calls.service.list_volumes(m.ListVolumesRequest()).entries
    assert FOREIGN in {each.volume.volume_id for each in listed}
    request = m.CreateSnapshotRequest(name="s", source_volume_id=FOREIGN)
    snapshot_id = calls.service.create_snapshot(request).snapshot.snapshot_id
    calls.service.delete_snapshot(m.DeleteSnapshotRequest(snapshot_id=snapshot_id))
    size.required_bytes = 3 * GIB
    request = m.ControllerExpandVolumeRequest(volume_id=FOREIGN, capacity_range=size)
    assert calls.service.controller_expand_volume(request).capacity_bytes == 3 * GIB
    calls.service.delete_volume(m.DeleteVolumeRequest(volume_id=FOREIGN))
    assert not list((tmp_path / "volumes").rglob("volume-*"))
    calls.controller.close()


def test_an_attached_volume_is_refused(resources: Any) -> None:
    document = json.loads((DATA / "connection-used.dumps.json").read_text())
    item = copy.deepcopy(resources["items"][0])
    item["kind"] = "Connection"
    item["metadata"]["annotations"]["json"] = json.dumps(document)
    resources["items"].append(item)
    with pytest.raises(errors.InvalidState, match=r"1 volumes are attached.*\(compute-1\)"):
        _read(resources)


def test_a_deleted_volume_is_ignored(resources: Any) -> None:
    annotations = resources["items"][0]["metadata"]["annotations"]
    annotations["json"] = annotations["json"].replace('"available"', '"deleted"')
    assert len(_read(resources)) == 4


def _without_its_volume(resources: Any) -> None:
    resources["items"] = [each for each in resources["items"] if each["kind"] == "Snapshot"]


def _of_another_group(resources: Any) -> None:
    resources["items"][3]["apiVersion"] = "v1"


def _of_another_kind(resources: Any) -> None:
    resources["items"][0]["kind"] = "Snapshot"


def _without_a_document(resources: Any) -> None:
    del resources["items"][2]["metadata"]["annotations"]


def _with_a_damaged_document(resources: Any) -> None:
    resources["items"][1]["metadata"]["annotations"]["json"] = "{"


def _not_a_list(resources: Any) -> None:
    del resources["items"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_its_volume, "which is not in the file"),
        (_of_another_group, "Item 4 is not a resource of Ember-CSI"),
        (_of_another_kind, "has a document of another kind"),
        (_without_a_document, "Item 3 .* has no document"),
        (_with_a_damaged_document, "Volume '00000000-0000-4000-8000-000000000002': "),
        (_not_a_list, "kubectl get volumes.ember-csi.io"),
    ],
)
def test_a_file_that_is_not_complete_is_refused(
    resources: Any, damage: Callable[[Any], None], message: str
) -> None:
    damage(resources)
    with pytest.raises(errors.InvalidDocument, match=message):
        _read(resources)
