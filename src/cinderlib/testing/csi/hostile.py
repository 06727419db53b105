"""Requests that must not damage the host: paths, links, foreign mounts, parallel calls."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from cinderlib.csi.wire import messages as m
from cinderlib.testing.csi.plugin import CODE, Plugin, block, mount
from cinderlib.testing.csi.volumes import UNKNOWN, csi_needs


def _refuse_stage(csi: Plugin, code: grpc.StatusCode, volume: Any, context: Any) -> None:
    csi.refused(
        code,
        "NodeStageVolume",
        volume_id=volume.volume_id,
        publish_context=context,
        staging_target_path=csi.staging(volume),
        volume_capability=mount(),
    )


def _refuse_unpublish(csi: Plugin, code: grpc.StatusCode, volume_id: str, target: object) -> None:
    fields = {"volume_id": volume_id, "target_path": str(target)}
    csi.refused(code, "NodeUnpublishVolume", **fields)


class HostileTests:
    """Bad input and parallel calls."""

    @pytest.mark.parametrize("path", ["relative", "/", "/tmp/../etc", "/a/../../etc", "x" * 5000])
    def test_paths_that_are_not_paths(self, csi: Plugin, path: str) -> None:
        volume = csi.volume()
        context = csi.publish(volume, mount())
        fields: dict[str, Any] = {"volume_id": volume.volume_id, "volume_capability": mount()}
        staged = {"publish_context": context, "staging_target_path": path}
        csi.refused(CODE.INVALID_ARGUMENT, "NodeStageVolume", **fields, **staged)
        staged = csi.stage(volume, mount(), context)
        csi.refused(CODE.INVALID_ARGUMENT, "NodePublishVolume", **staged, target_path=path)
        id = volume.volume_id
        csi.refused(CODE.INVALID_ARGUMENT, "NodeUnpublishVolume", volume_id=id, target_path=path)

    def test_a_target_that_is_a_link(self, csi: Plugin) -> None:
        volume = csi.volume()
        staged = csi.stage(volume, mount(), csi.publish(volume, mount()))
        victim = csi.folder / "pod-victim"
        victim.mkdir()
        link = csi.folder / "pod-link"
        link.symlink_to(victim)
        csi.refused(CODE.INVALID_ARGUMENT, "NodePublishVolume", **staged, target_path=str(link))
        _refuse_unpublish(csi, CODE.INVALID_ARGUMENT, volume.volume_id, link)
        assert link.is_symlink()
        assert not victim.is_mount()
        link.unlink()

    @pytest.mark.parametrize("capability", [mount(), block()], ids=["mount", "block"])
    def test_a_target_with_data(self, csi: Plugin, capability: Any) -> None:
        volume = csi.volume(volume_capabilities=[capability])
        staged = csi.stage(volume, capability, csi.publish(volume, capability))
        target = Path(csi.target(volume))
        target.write_text("data of someone else")
        csi.refused(CODE.INVALID_ARGUMENT, "NodePublishVolume", **staged, target_path=str(target))
        _refuse_unpublish(csi, CODE.FAILED_PRECONDITION, volume.volume_id, target)
        assert target.read_text() == "data of someone else"
        target.unlink()

    def test_a_target_that_is_another_volume(self, csi: Plugin) -> None:
        mine, other = csi.use(csi.volume()), csi.use(csi.volume())
        Path(other["target_path"], "file").write_text("data")
        for method in ("NodeUnpublishVolume", "NodePublishVolume"):
            fields = {**mine, "target_path": other["target_path"]}
            if method == "NodeUnpublishVolume":
                fields = {key: fields[key] for key in ("volume_id", "target_path")}
            csi.refused(CODE.FAILED_PRECONDITION, method, **fields)
        staged = {"volume_id": mine["volume_id"], "staging_target_path": other["target_path"]}
        csi.refused(CODE.FAILED_PRECONDITION, "NodeUnstageVolume", **staged)
        _refuse_unpublish(csi, CODE.FAILED_PRECONDITION, UNKNOWN, other["target_path"])
        assert Path(other["target_path"], "file").read_text() == "data"

    def test_a_foreign_mount(self, csi: Plugin) -> None:
        volume = csi.volume()
        staged = csi.stage(volume, mount(), csi.publish(volume, mount()))
        target = csi.target(volume)
        os.mkdir(target)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", target], check=True)
        try:
            csi.refused(CODE.FAILED_PRECONDITION, "NodePublishVolume", **staged, target_path=target)
            _refuse_unpublish(csi, CODE.FAILED_PRECONDITION, volume.volume_id, target)
            assert os.path.ismount(target)
        finally:
            subprocess.run(["umount", target], check=True)
            os.rmdir(target)

    def test_data_is_never_formatted(self, csi: Plugin) -> None:
        volume = csi.volume(volume_capabilities=[block()])
        used = csi.use(volume, block())
        subprocess.run(["mkswap", used["target_path"]], check=True, capture_output=True)
        csi.clean_node(volume)
        context = csi.publish(volume, mount())
        _refuse_stage(csi, CODE.FAILED_PRECONDITION, volume, context)

    @pytest.mark.parametrize("flag", ["bind", "remount", "loop", "suid", "a b", "-o", "x" * 300])
    def test_mount_flags_that_are_not_allowed(self, csi: Plugin, flag: str) -> None:
        fields = {"volume_capabilities": [mount(flags=(flag,))], "name": csi.name()}
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolume", **fields)

    def test_huge_maps(self, csi: Plugin) -> None:
        huge = {f"key-{number}": "x" * 1000 for number in range(1000)}
        fields = {"name": csi.name(), "volume_capabilities": [mount()]}
        csi.refused(CODE.INVALID_ARGUMENT, "CreateVolume", **fields, parameters=huge)
        volume = csi.volume()
        _refuse_stage(csi, CODE.INVALID_ARGUMENT, volume, huge)

    @pytest.mark.parametrize("change", ["damaged", "of another volume", "text"])
    def test_a_wrong_publish_context(self, csi: Plugin, change: str) -> None:
        csi_needs(csi, "PUBLISH_UNPUBLISH_VOLUME")
        volume, other = csi.volume(), csi.volume()
        context = csi.publish(volume, mount())
        if change == "damaged":
            context = {key: value[:-8] + "AAAAAAA=" for key, value in context.items()}
        elif change == "of another volume":
            context = csi.publish(other, mount())
        else:
            context = dict.fromkeys(context, "text")
        _refuse_stage(csi, CODE.INVALID_ARGUMENT, volume, context)

    # --- parallel calls -------------------------------------------------------------------------

    def _at_once(self, csi: Plugin, method: str, **fields: Any) -> list[Any]:
        """The answers of parallel calls; those that are refused must be ABORTED."""

        def call(_: int) -> Any:
            try:
                return csi.call(method, **fields)
            except grpc.RpcError as error:
                assert error.code() == CODE.ABORTED, error.details()
                return None

        with ThreadPoolExecutor(csi.threads) as threads:
            answers = list(threads.map(call, range(csi.threads)))
        return [each for each in answers if each is not None]

    def test_parallel_creates_are_one_volume(self, csi: Plugin) -> None:
        fields = {
            "name": csi.name(),
            "capacity_range": m.CapacityRange(required_bytes=csi.size),
            "volume_capabilities": [mount()],
            "parameters": csi.parameters,
        }
        answers = self._at_once(csi, "CreateVolume", **fields)
        ids = Counter(each.volume.volume_id for each in answers)
        assert len(ids) == 1
        (id,) = ids
        csi.undo("DeleteVolume", id, volume_id=id)
        listed = [each.volume.volume_id for each in csi.call("ListVolumes").entries]
        assert listed.count(id) == 1

    def test_parallel_snapshots_are_one_snapshot(self, csi: Plugin) -> None:
        csi_needs(csi, "CREATE_DELETE_SNAPSHOT")
        fields = {"name": csi.name(), "source_volume_id": csi.volume().volume_id}
        answers = self._at_once(csi, "CreateSnapshot", **fields)
        (id,) = {each.snapshot.snapshot_id for each in answers}
        csi.undo("DeleteSnapshot", id, snapshot_id=id)
        assert self._at_once(csi, "DeleteSnapshot", snapshot_id=id)

    def test_parallel_stages_are_one_mount(self, csi: Plugin) -> None:
        volume = csi.volume()
        fields = csi.stage(volume, mount(), csi.publish(volume, mount()))
        csi.call(
            "NodeUnstageVolume",
            volume_id=volume.volume_id,
            staging_target_path=fields["staging_target_path"],
        )
        assert self._at_once(csi, "NodeStageVolume", **fields)
        lines = Path("/proc/self/mountinfo").read_text()
        assert lines.count(f" {fields['staging_target_path']} ") == 1

    def test_crossed_calls_end_in_one_state(self, csi: Plugin) -> None:
        """Publish and unpublish at the same time, then each once more: nothing remains."""
        volume = csi.volume()
        staged = csi.stage(volume, mount(), csi.publish(volume, mount()))
        target = csi.target(volume)
        shown = {**staged, "target_path": target}
        hidden = {"volume_id": volume.volume_id, "target_path": target}
        csi.undo("NodeUnpublishVolume", volume.volume_id, target, **hidden)

        def call(number: int) -> None:
            try:
                if number % 2:
                    csi.call("NodePublishVolume", **shown)
                else:
                    csi.call("NodeUnpublishVolume", **hidden)
            except grpc.RpcError as error:
                assert error.code() == CODE.ABORTED, error.details()

        with ThreadPoolExecutor(csi.threads) as threads:
            list(threads.map(call, range(csi.threads)))
        csi.call("NodePublishVolume", **shown)
        assert Path("/proc/self/mountinfo").read_text().count(f" {target} ") == 1

    def test_parallel_volumes(self, csi: Plugin) -> None:
        csi.patient = True

        def whole_way(number: int) -> None:
            volume = csi.volume()
            used = csi.use(volume)
            Path(used["target_path"], "file").write_text(str(number))
            assert Path(used["target_path"], "file").read_text() == str(number)
            csi.clean_node(volume)
            csi.call("DeleteVolume", volume_id=volume.volume_id)

        with ThreadPoolExecutor(csi.threads) as threads:
            list(threads.map(whole_way, range(csi.threads)))
