"""What an operator installs, held to the node: manifests of Kubernetes, the Containerfile."""

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from house_files import ROOT, label
from manifests import containers, read_manifests
from running import running

from mirror import __version__
from mirror.cli import main
from mirror.config import Settings, load
from mirror.config.settings import Server

MANIFESTS = sorted((ROOT / "config" / "kubernetes").glob("*.yaml"))
CONTAINERFILE = (ROOT / "Containerfile").read_text()
WORKLOADS = ("DaemonSet", "Deployment")
READ_S_MAX = 30.0


def workload(path: Path) -> dict[str, Any]:
    [found] = [one for one in read_manifests(path) if one["kind"] in WORKLOADS]
    return found


def node_of(path: Path) -> dict[str, Any]:
    """The container that runs the node."""
    [found] = [one for one in containers(workload(path)) if "command" not in one]
    return found


def settings_of(path: Path, folder: Path) -> Settings:
    """Load the configuration that a manifest gives its node."""
    [config] = [one for one in read_manifests(path) if one["kind"] == "ConfigMap"]
    copy = folder / "mirror.toml"
    copy.write_text(config["data"]["mirror.toml"])
    return load(copy)


def instructions() -> dict[str, list[str]]:
    """The last stage of the Containerfile: what each instruction says, in order."""
    joined = re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in joined.rpartition("\nFROM ")[2].splitlines()[1:]:
        name, _, said = line.partition(" ")
        found.setdefault(name, []).append(said)
    return found


def assert_command_runs(words: list[str]) -> None:
    """The node's own command line takes these words."""
    name, *options = words
    command = main.commands[name]
    command.parse_args(click.Context(command, resilient_parsing=False), options)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("path", MANIFESTS, ids=label)
def test_kubectl_reads_a_manifest_as_these_tests_do(path: Path) -> None:
    """Kubernetes' own types: a key that they know with a value of another type is refused."""
    command = ["kubectl", "annotate", "--local", "-f", str(path), "read=yes", "-o", "json"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=READ_S_MAX, check=True).stdout
    read, decoder = [], json.JSONDecoder()
    while said := said.strip():
        one, end = decoder.raw_decode(said)
        said = said[end:]
        del one["metadata"]["annotations"]
        read.append(one)
    assert len(read) == len(read_manifests(path))
    for one, ours in zip(read, read_manifests(path), strict=True):
        assert_holds(one, ours)


def assert_holds(read: Any, ours: Any) -> None:
    """What kubectl read has all that we read; it may add what is empty."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            assert key in read, key
            assert_holds(read[key], value)
    elif isinstance(ours, list):
        assert len(read) == len(ours)
        for one, other in zip(read, ours, strict=True):
            assert_holds(one, other)
    else:
        assert read == ours


@pytest.mark.parametrize("path", MANIFESTS, ids=label)
def test_a_manifest_runs_the_node_that_there_is(path: Path, tmp_path: Path) -> None:
    """Flags, files, ports and directories are those of the node and of its configuration in the same manifest."""
    node, settings = node_of(path), settings_of(path, tmp_path)
    assert_command_runs(node["args"])
    mounts = {one["name"]: one["mountPath"] for one in node["volumeMounts"]}
    config = next(iter(one["value"] for one in node.get("env", []) if one["name"] == "MIRROR_CONFIG"), None)
    assert (config or node["args"][node["args"].index("--config") + 1]) == f"{mounts['config']}/mirror.toml"
    assert str(settings.storage.root) == mounts["data"]
    [port] = node["ports"]
    assert {address.port for address in settings.server.listen} == {port["containerPort"]}
    assert node["image"].rpartition(":")[2] == __version__
    names = {one["name"] for one in workload(path)["spec"]["template"]["spec"]["volumes"]}
    assert names == set(mounts)


@pytest.mark.parametrize("path", MANIFESTS, ids=label)
async def test_the_probes_of_a_manifest_are_answered(path: Path, tmp_path: Path) -> None:
    """With the very configuration: no login, no host name is asked of a probe."""
    settings, node = await asyncio.to_thread(settings_of, path, tmp_path), node_of(path)
    probes = {name: node[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {one["port"] for one in probes.values()} == {one["name"] for one in node["ports"]}
    options = {"home": settings.registry, "public_url": settings.server.public_url}
    async with running(tmp_path / "store", anonymous=tuple(settings.access.anonymous), **options) as started:
        answers = {name: (await started.fetch(one["path"]))[0] for name, one in probes.items()}
    assert answers == dict.fromkeys(probes, 200)
    assert (probes["livenessProbe"]["path"], probes["readinessProbe"]["path"]) == ("/healthz", "/readyz")


@pytest.mark.parametrize("path", MANIFESTS, ids=label)
def test_a_manifest_locks_the_node_down_and_lets_it_drain(path: Path) -> None:
    """Pod Security Standards, "Restricted"; a stop has the time that the node takes for it."""
    pod, node = workload(path)["spec"]["template"]["spec"], node_of(path)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    for one in containers(workload(path)):
        context = one["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"]["drop"] == ["ALL"]
    assert "add" not in node["securityContext"]["capabilities"]
    assert pod["terminationGracePeriodSeconds"] > Server().drain_s
    assert "memory" in node["resources"]["limits"]


@pytest.mark.parametrize("path", MANIFESTS, ids=label)
def test_the_parts_of_a_manifest_find_each_other(path: Path) -> None:
    """Selectors, claims and maps name what is in the same file; one process has a store."""
    parts = {(one["kind"], one["metadata"]["name"]): one for one in read_manifests(path)}
    assert len(parts) == len(read_manifests(path))
    found = workload(path)
    labels = found["spec"]["template"]["metadata"]["labels"]
    assert found["spec"]["selector"]["matchLabels"] == labels
    for volume in found["spec"]["template"]["spec"]["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in parts
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in parts
    for (kind, _), part in parts.items():
        assert kind == "Namespace" or part["metadata"]["namespace"] == "mirror"
        if kind == "Service":
            assert part["spec"]["selector"] == labels
            assert part["spec"]["ports"][0]["targetPort"] == node_of(path)["ports"][0]["name"]
    if found["kind"] == "Deployment":
        assert (found["spec"]["replicas"], found["spec"]["strategy"]["type"]) == (1, "Recreate")


def test_the_containerfile_runs_the_node_that_there_is() -> None:
    """Its words are a command line, its user and directory those of the manifests; what it copies is there."""
    said = instructions()
    words = [*json.loads(said["ENTRYPOINT"][0]), *json.loads(said["CMD"][0])]
    assert words.pop(0) == "mirror"
    assert_command_runs(words)
    assert words[words.index("--listen") + 1].rpartition(":")[2] == said["EXPOSE"][0]
    assert words[words.index("--data") + 1] == said["VOLUME"][0]
    for path in MANIFESTS:
        context = workload(path)["spec"]["template"]["spec"]["securityContext"]
        assert said["USER"] == [f"{context['runAsUser']}:{context['runAsGroup']}"]
        assert said["VOLUME"][0] in {one["mountPath"] for one in node_of(path)["volumeMounts"]}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, flags=re.MULTILINE)
    for name in (name for line in copied for name in shlex.split(line)):
        assert (ROOT / name).exists(), name
