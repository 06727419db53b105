"""The files in ``contrib/csi``: manifests match the schemas of Kubernetes, and names match."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from cinderlib.cli import schema
from cinderlib.cli.tomlfile import TomlFile
from cinderlib.csi.settings import DEFAULT_NAME

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "contrib" / "csi"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = sorted((KUBERNETES / "overlays").iterdir())
#: The last five versions.
VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")


def _manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(KUBERNETES.rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if "kustomize.config.k8s.io" not in document["apiVersion"]:
                yield f"{file.name}-{document['kind']}", document


MANIFESTS = list(_manifests())


def _check(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", [each[1] for each in MANIFESTS], ids=[m[0] for m in MANIFESTS])
def test_a_manifest_matches_the_schema(manifest: dict[str, Any], version: str) -> None:
    _check(manifest, version)


@pytest.mark.slow
def test_the_schema_finds_a_misspelt_field() -> None:
    (daemons,) = [each for _, each in MANIFESTS if each["kind"] == "DaemonSet"]
    daemons["spec"]["template"]["spec"]["hostNetwrok"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="hostNetwrok"):
        _check(daemons, VERSIONS[-1])
    del daemons["spec"]["template"]["spec"]["hostNetwrok"]


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl, which builds overlays")
@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.name)
def test_an_overlay_is_built_and_valid(overlay: pathlib.Path) -> None:
    built = subprocess.check_output(["kubectl", "kustomize", overlay], text=True)
    documents = list(yaml.safe_load_all(built))
    for document in documents:
        _check(document, VERSIONS[-1])
    names = {(each["kind"], each["metadata"]["name"]) for each in documents}
    for document in documents:
        pod = document.get("spec", {}).get("template", {}).get("spec", {})
        for volume in pod.get("volumes", []):
            for kind, key, field in (
                ("Secret", "secret", "secretName"),
                ("ConfigMap", "configMap", "name"),
                ("PersistentVolumeClaim", "persistentVolumeClaim", "claimName"),
            ):
                name = volume.get(key, {}).get(field)
                # The key is created by hand.
                assert name in (None, "cinderlib-csi-key") or (kind, name) in names


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("kubectl"), reason="no kubectl, which builds overlays")
def test_the_component_of_group_snapshots_extends_an_overlay(tmp_path: pathlib.Path) -> None:
    for name in ("base", "components", "overlays"):
        shutil.copytree(KUBERNETES / name, tmp_path / name)
    overlay = tmp_path / "overlays" / "iscsi-postgresql"
    text = (overlay / "kustomization.yaml").read_text()
    changed = text.replace("components:\n", "components:\n  - ../../components/group-snapshots\n")
    (overlay / "kustomization.yaml").write_text(changed)
    built = subprocess.check_output(["kubectl", "kustomize", overlay], text=True)
    documents = list(yaml.safe_load_all(built))
    for document in documents:
        _check(document, VERSIONS[-1])
    (controller,) = [each for each in documents if each["kind"] == "Deployment"]
    containers = controller["spec"]["template"]["spec"]["containers"]
    gate = "--feature-gates=CSIVolumeGroupSnapshot=true"
    assert [each["name"] for each in containers if gate in each.get("args", ())] == ["snapshotter"]
    bound = [each["roleRef"]["name"] for each in documents if each["kind"] == "ClusterRoleBinding"]
    assert "cinderlib-csi-group-snapshots" in bound


@pytest.mark.parametrize(
    "file", sorted(KUBERNETES.rglob("*.toml")), ids=lambda path: f"{path.parent.name}"
)
def test_a_configuration_has_only_known_keys(file: pathlib.Path) -> None:
    assert list(schema.problems(TomlFile(file))) == []


def test_mounts_and_names_match() -> None:
    by_kind = {each["kind"]: each for _, each in MANIFESTS}
    assert by_kind["CSIDriver"]["metadata"]["name"] == DEFAULT_NAME
    for kind in ("Deployment", "DaemonSet"):
        pod = by_kind[kind]["spec"]["template"]["spec"]
        volumes = {each["name"] for each in pod["volumes"]}
        for container in pod["containers"]:
            assert {each["name"] for each in container["volumeMounts"]} <= volumes
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", container["image"])
    node = by_kind["DaemonSet"]["spec"]["template"]["spec"]
    (kubelet,) = [
        each for each in node["containers"][0]["volumeMounts"] if each["name"] == "kubelet"
    ]
    assert kubelet["mountPropagation"] == "Bidirectional"
    text = (KUBERNETES / "base/node.yaml").read_text()
    assert text.count(f"/plugins/{DEFAULT_NAME}") == 2


def test_the_containerfile_copies_what_it_builds() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS ([\w-]+)$", text, re.MULTILINE))
    assert stages == {"build", "build-node", "build-controller", "node", "controller"}
    assert set(re.findall(r"--from=([\w-]+)", text)) <= stages
    for role in ("node", "controller"):
        copied = text.split(f"AS {role}\n")[1].split("\nFROM")[0]
        assert re.findall(r"--from=([\w-]+)", copied) == [f"build-{role}"]
    node = text.split("AS build-node\n")[1].split("\nFROM")[0]
    assert "'/source/packages/node[csi]'\n" in node
    assert '"/source[' not in node
