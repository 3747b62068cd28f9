"""The two servers of the matrix: a real upstream (Debian's docker-registry) and, before it, this node.

Source: CLIENTS.md 1.2; the node's configuration is the contract of README.md.
"""

import os
import re
import sys
import urllib.request
from pathlib import Path
from typing import Final

from tests.clients.daemons import Daemon, is_open, run, wait_for
from tests.clients.images import HERE, Image
from tests.ports import free_port

LOG_S_MAX: Final = 5.0  # the access log is written after the last byte has left
REQUEST_S_MAX: Final = 30.0
ACCEPT: Final = ", ".join(  # distribution 404s an index that the caller does not say it takes
    f"application/vnd.{kind}+json"
    for kind in ("oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.v2")
)
_BLOB_GET: Final = re.compile(r'"GET /v2/[^" ]+/blobs/(sha256:[0-9a-f]{64}) HTTP/1\.1" 20[06] ')


class Upstream:
    """A docker-registry on loopback with an access log; may be stopped and started again on the same port."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        config = root / "registry.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: info, accesslog: {{disabled: false}}}}\n"
            f"storage: {{filesystem: {{rootdirectory: {root}/data}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '127.0.0.1:{self.port}'}}\n"
        )
        # Distribution takes every REGISTRY_ variable for a setting of its own and dies of a foreign one.
        env = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
        self.daemon = Daemon(["docker-registry", "serve", config], root / "upstream.log", env)

    def start(self) -> None:
        self.daemon.start(lambda: is_open(self.port))

    def stop(self) -> None:
        self.daemon.stop()

    def take(self, image: Image) -> None:
        """Store the image: its index as `latest`, this machine's platform as Docker schema 2 under `schema2`."""
        target = f"docker://127.0.0.1:{self.port}/library/{image.name}"
        source = f"oci:{image.layout}:latest"
        skopeo = ["skopeo", "--override-arch", HERE, "copy", "--quiet", "--dest-tls-verify=false"]
        run([*skopeo, "--all", source, f"{target}:latest"])
        run([*skopeo, "--format", "v2s2", source, f"{target}:schema2"])

    def fetches(self, digest: str) -> int:
        """Count the GETs of a blob in the access log, after waiting for the first."""
        wait_for(lambda: digest in self._fetched(), LOG_S_MAX)
        return self._fetched().count(digest)

    def _fetched(self) -> list[str]:
        return _BLOB_GET.findall(self.daemon.log.read_text(errors="replace"))


class Node:
    """This project's node as a process, with the upstream as its `docker.io`."""

    def __init__(self, root: Path, upstream_port: int | None) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        config = root / "mirror.toml"
        config.write_text(node_config(self.port, root / "store", upstream_port))
        self.daemon = Daemon(node_command(config), root / "node.log")

    def start(self) -> None:
        self.daemon.start(self._is_ready)

    def stop(self) -> None:
        self.daemon.stop()

    def get(self, path: str) -> bytes:
        """GET a path of the node, whole."""
        request = urllib.request.Request(f"http://{self.address}{path}", headers={"Accept": ACCEPT})
        with urllib.request.urlopen(request, timeout=REQUEST_S_MAX) as answer:
            data: bytes = answer.read()
        return data

    def _is_ready(self) -> bool:
        try:
            return len(self.get("/v2/")) >= 0
        except OSError:
            return False


def node_command(config: Path) -> list[str | Path]:
    return [Path(sys.executable).with_name("mirror"), "serve", "--config", config]


def node_config(port: int, store: Path, upstream_port: int | None) -> str:
    """Write the node's settings: everybody may push and delete; without an upstream port it mirrors nothing.

    A tag is never fresh: every pull by tag asks the upstream first, so that an offline pull shows the stale answer.
    """
    text = f'[server]\nlisten = "127.0.0.1:{port}"\n[storage]\nroot = "{store}"\n'
    text += '[access]\nanonymous = ["pull", "push", "delete"]\n[registry]\ncreate_on_push = true\n'
    if upstream_port is None:
        return text
    return (
        text
        + f'[[upstream]]\nname = "docker.io"\nroot = true\nurl = "http://127.0.0.1:{upstream_port}"\ntag_fresh_s = 0\n'
    )
