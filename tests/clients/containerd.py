"""containerd with `hosts.toml`: CLIENTS.md 1.6. It names the upstream in `?ns=`."""

import os
from pathlib import Path

from tests.clients.client import Unavailable
from tests.clients.daemons import Daemon, DaemonDied, client_env, run, which

_CONFIG = """version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{root}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{root}/opt"
"""


class Containerd:
    """A containerd of our own, driven by ctr. `hosts` is the folder of hosts.toml: `docker.io` or `_default`."""

    def __init__(self, root: Path, node: str, hosts: str = "docker.io") -> None:
        containerd, self.ctr = which("containerd"), which("ctr")
        if containerd is None or self.ctr is None:
            raise Unavailable("containerd or ctr is missing")
        if os.geteuid() != 0:
            raise Unavailable("containerd wants root")
        self.node, self.root, self.env = node, root, client_env(root / "home")
        _write_hosts(root / "hosts" / hosts, node)
        config = root / "config.toml"
        config.write_text(_CONFIG.format(root=root))
        self.daemon = Daemon([containerd, "--config", config], root / "containerd.log", self.env)
        try:
            self.daemon.start(lambda: "containerd successfully booted" in self.daemon.tail())
        except DaemonDied as death:
            raise Unavailable(str(death)) from death

    def pull(self, name: str, tag: str) -> set[str]:
        return self._pull("--hosts-dir", str(self.root / "hosts"), f"docker.io/library/{name}:{tag}")

    def push(self, name: str, own: str) -> None:
        target = f"{self.node}/{own}:v1"
        self._ctr("images", "tag", f"docker.io/library/{name}:latest", target)
        self._ctr("images", "push", "--plain-http", target)

    def pull_own(self, own: str) -> set[str]:
        return self._pull("--plain-http", f"{self.node}/{own}:v1")

    def forget(self) -> None:
        images = self._ctr("images", "list", "--quiet").split()
        if images:
            self._ctr("images", "remove", "--sync", *images)
        assert self._ctr("content", "list", "--quiet") == "", "containerd kept content after its images were removed"

    def close(self) -> None:
        self.daemon.stop()

    def _pull(self, *words: str) -> set[str]:
        self._ctr("images", "pull", "--snapshotter", "native", "--all-platforms", *words)
        return set(self._ctr("content", "list", "--quiet").split())

    def _ctr(self, *words: str) -> str:
        return run([str(self.ctr), "--address", self.root / "containerd.sock", *words], self.env)


def _write_hosts(folder: Path, node: str) -> None:
    folder.mkdir(parents=True)
    (folder / "hosts.toml").write_text(f'[host."http://{node}"]\ncapabilities = ["pull", "resolve"]\n')
