"""Checks of the container files that need no container engine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

from gateway.config import load

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
KUBERNETES = "1.33"
MANIFESTS = sorted((ROOT / "configs" / "kubernetes").glob("*.yaml"))


def test_the_dockerfile_passes_its_linter() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_files_that_the_dockerfile_copies_exist_and_are_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignore


def test_the_images_do_not_run_as_root() -> None:
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    targets = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    assert {"cpu", "cuda"} <= targets
    built = {s["build"]["target"] for s in COMPOSE["services"].values() if "build" in s}
    assert built == {"cpu", "cuda"}


def test_the_compose_file_follows_its_specification() -> None:
    found = compose_spec.PyCompose.from_yaml((ROOT / "docker-compose.yml").read_text())
    assert found.get_service("gateway") is not None
    with pytest.raises(ValueError, match=r"."):
        compose_spec.PyCompose.from_yaml("services: {gateway: {images: 1}}")


def test_the_files_that_compose_mounts_exist() -> None:
    mounted = [
        volume.partition(":")[0]
        for service in COMPOSE["services"].values()
        for volume in service.get("volumes", [])
        if volume.startswith("./")
    ]
    assert mounted
    assert all((ROOT / path).is_file() for path in mounted)


def documents(manifest: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(manifest.read_text()))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_accepts_a_manifest(manifest: Path) -> None:
    found = documents(manifest)
    for document in found:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    kinds = [document["kind"] for document in found]
    assert kinds == ["ConfigMap", "Deployment", "Service", "PodDisruptionBudget"]
    broken = {**found[1], "spec": {**found[1]["spec"], "replicas": "two"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.name)
def test_the_configuration_in_a_manifest_fits_it(manifest: Path, tmp_path: Path) -> None:
    config, deployment, *_ = documents(manifest)
    file = tmp_path / "gateway.toml"
    file.write_text(config["data"]["gateway.toml"])
    settings = load(file)
    pod = deployment["spec"]["template"]["spec"]
    supervision = settings.supervision
    needed = (
        settings.drain_notice_seconds
        + settings.drain_seconds
        + supervision.stop_seconds
        + supervision.kill_seconds
    )
    assert pod["terminationGracePeriodSeconds"] > needed
    (container,) = pod["containers"]
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    for model in settings.models.values():
        assert any(mount in Path(model.source).parents for mount in mounts)
    assert settings.keys_file is not None
    assert any(mount in settings.keys_file.parents for mount in mounts)
    probes = {name: container[name]["httpGet"]["path"] for name in container if "Probe" in name}
    assert probes == {
        "startupProbe": "/readyz",
        "readinessProbe": "/readyz",
        "livenessProbe": "/livez",
    }
