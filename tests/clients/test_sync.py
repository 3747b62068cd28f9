"""Fetching ahead from a real registry, by the command line; with the registry gone, skopeo pulls all the same."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.clients.client import Unavailable
from tests.clients.daemons import attempt, run
from tests.clients.images import Image, Workshop
from tests.clients.layouts import Layouts
from tests.clients.registries import Node, Upstream

pytestmark = pytest.mark.clients

MIRROR: Final = Path(sys.executable).with_name("mirror")
RULE: Final = '[[sync]]\nname = "ahead"\nrepositories = ["docker.io/library/{name}"]\ntags = ["lat*"]\n'
MANIFEST_GET: Final = re.compile(r'"GET /v2/[^" ]+/manifests/[^" ]+ HTTP/1\.1" 200 ')


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Image:
    """An image at the upstream with what cosign puts beside it: another image, under a tag of its digest."""
    image = Workshop(tmp_path_factory.mktemp("workshop")).build("ahead")
    upstream.take(image)
    signature = f"docker://127.0.0.1:{upstream.port}/library/ahead:{image.index.replace(':', '-')}.sig"
    run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{image.layout}:latest", signature])
    return image


@pytest.fixture
def ahead(tmp_path: Path, upstream: Upstream, image: Image) -> Iterator[Node]:
    node = Node(tmp_path, upstream.port)
    with (tmp_path / "mirror.toml").open("a") as config:
        config.write(RULE.format(name=image.name))
    node.start()
    yield node
    node.stop()


def said(tmp_path: Path, *words: str) -> list[list[str]]:
    """Run a command that succeeds; return its columns."""
    text = run([MIRROR, *words, "--config", tmp_path / "mirror.toml"])
    return [line.split("\t") for line in text.splitlines()]


def gets(upstream: Upstream) -> int:
    """Count the manifests that the upstream has given, by its access log."""
    return len(MANIFEST_GET.findall(upstream.daemon.log.read_text(errors="replace")))


def test_what_was_fetched_ahead_is_pulled_with_the_upstream_gone(
    tmp_path: Path, ahead: Node, upstream: Upstream, image: Image
) -> None:
    """Issue 4, section 3: plan, run, a second run that costs no pull, and a client that needs no upstream."""
    try:
        skopeo = Layouts("skopeo", tmp_path / "skopeo", ahead.address)
    except Unavailable as reason:
        pytest.skip(str(reason))
    planned = said(tmp_path, "sync", "plan")
    assert [row[:2] for row in planned] == [["docker.io/library/ahead:latest", "new"], ["TOTAL", "1 of 1"]]
    ((name, images, fetched, moved, _, failed),) = said(tmp_path, "sync", "run")
    assert (name, images, fetched, failed) == ("ahead", "1", "1", "0")
    assert moved == planned[-1][2]
    before = gets(upstream)
    assert said(tmp_path, "sync", "run") == [["ahead", "1", "0", "0", "0", "0"]]
    assert gets(upstream) == before
    upstream.stop()
    try:
        assert {image.index, *image.blobs} <= skopeo.pull(image.name, "latest") | {image.index}
        assert skopeo.pull(image.name, f"{image.index.replace(':', '-')}.sig")
        failing = attempt([MIRROR, "sync", "run", "--config", tmp_path / "mirror.toml"])
        assert failing.returncode == 1
        assert "mirror: docker.io" in failing.stderr
    finally:
        upstream.start()


def test_an_image_is_warmed_by_a_command_where_no_node_runs(tmp_path: Path, ahead: Node, image: Image) -> None:
    """A node lives as long as the work, and the next one has what came."""
    ahead.stop()
    warmed = said(tmp_path, "warm", f"docker.io/library/{image.name}", "--platform", "linux/amd64", "--no-referrers")
    assert [warmed[0][0], *warmed[0][-1]] == ["warm", "0"]
    assert int(warmed[0][3]) > 0
    ahead.start()
    assert said(tmp_path, "sync", "plan")[0][:2] == ["docker.io/library/ahead:latest", "parts"]
