"""skopeo pulls through a node whose disk is full, from a real registry (issue 5, section 2)."""

from pathlib import Path

import pytest
from disks import small_disk

from tests.clients.client import Unavailable
from tests.clients.images import Workshop
from tests.clients.layouts import Layouts
from tests.clients.registries import Node, Upstream

pytestmark = pytest.mark.clients


def test_skopeo_pulls_through_a_full_disk(tmp_path: Path, upstream: Upstream) -> None:
    """RELIABILITY G12: misses pass through uncached; skopeo verifies every digest."""
    image = Workshop(tmp_path / "workshop").build("crowded")
    upstream.take(image)
    with small_disk(tmp_path / "store") as disk:
        node = Node(tmp_path, upstream.port)
        node.start()
        try:
            skopeo = Layouts("skopeo", tmp_path / "skopeo", node.address)
        except Unavailable as reason:
            node.stop()
            pytest.skip(str(reason))
        try:
            disk.fill()
            held = skopeo.pull(image.name, "latest")
            assert image.config in held
        finally:
            node.stop()
