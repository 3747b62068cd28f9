"""dockerd with `registry-mirrors`: CLIENTS.md 1.4. Its fallback to the Hub ends at a closed port."""

import os
from pathlib import Path

from tests.clients.client import Unavailable
from tests.clients.daemons import Daemon, DaemonDied, client_env, run, which


class Dockerd:
    """A dockerd of our own (classic image store, no network), driven by the docker command."""

    def __init__(self, root: Path, node: str) -> None:
        dockerd, self.docker = which("dockerd"), which("docker")
        if dockerd is None or self.docker is None:
            raise Unavailable("dockerd or docker is missing")
        if os.geteuid() != 0:
            raise Unavailable("dockerd wants root")
        self.node, self.env = node, client_env(root / "home")
        self.socket = root / "docker.sock"
        self.daemon = Daemon([dockerd, *_flags(root, node)], root / "dockerd.log", self.env)
        try:
            self.daemon.start(self._is_ready)
        except DaemonDied as death:
            raise Unavailable(str(death)) from death

    def pull(self, name: str, tag: str) -> set[str]:
        return self._pull(f"library/{name}:{tag}")

    def push(self, name: str, own: str) -> None:
        self._docker("tag", f"library/{name}:latest", f"{self.node}/{own}:v1")
        self._docker("push", f"{self.node}/{own}:v1")

    def pull_own(self, own: str) -> set[str]:
        return self._pull(f"{self.node}/{own}:v1")

    def forget(self) -> None:
        images = set(self._docker("images", "--quiet", "--all").split())
        if images:
            self._docker("rmi", "--force", *images)

    def close(self) -> None:
        self.daemon.stop()

    def _pull(self, reference: str) -> set[str]:
        self._docker("pull", reference)
        return {self._docker("image", "inspect", "--format", "{{.Id}}", reference).strip()}

    def _docker(self, *words: str) -> str:
        return run([str(self.docker), "-H", f"unix://{self.socket}", *words], self.env)

    def _is_ready(self) -> bool:
        return self.socket.exists() and "API listen on" in self.daemon.tail()


def _flags(root: Path, node: str) -> list[str]:
    config = root / "daemon.json"
    config.write_text("{}")
    return [
        f"--config-file={config}",
        f"--data-root={root}/data",
        f"--exec-root={root}/exec",
        f"--pidfile={root}/docker.pid",
        f"--host=unix://{root}/docker.sock",
        "--iptables=false",
        "--ip6tables=false",
        "--bridge=none",
        "--storage-driver=vfs",
        f"--registry-mirror=http://{node}",
    ]
