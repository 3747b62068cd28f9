"""podman and buildah with a mirror in registries.conf: CLIENTS.md 1.7. They bind a whole pull to one mirror."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.clients.client import Unavailable
from tests.clients.daemons import client_env, run, which

_REGISTRIES = """[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "{node}"
insecure = true
"""


class Containers:
    """podman or buildah: the same library behind two commands. The images lie in a vfs store of our own."""

    def __init__(self, program: str, root: Path, node: str) -> None:
        if which(program) is None:
            raise Unavailable(f"{program} is missing")
        self.node = node
        registries = root / "registries.conf"
        registries.write_text(_REGISTRIES.format(node=node))
        self.env = client_env(root / "home") | {"CONTAINERS_REGISTRIES_CONF": str(registries)}
        self._runroot = TemporaryDirectory(prefix="run-")  # podman takes no path of more than 50 characters
        paths = ["--root", f"{root}/storage", "--runroot", self._runroot.name]
        self.command = [program, *paths, "--storage-driver", "vfs"]
        if program == "podman":
            self.command += ["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--tmpdir", f"{root}/tmp"]

    def pull(self, name: str, tag: str) -> set[str]:
        return self._pull(f"docker.io/library/{name}:{tag}")

    def push(self, name: str, own: str) -> None:
        self._run("push", "--tls-verify=false", f"docker.io/library/{name}:latest", f"docker://{self.node}/{own}:v1")

    def pull_own(self, own: str) -> set[str]:
        return self._pull("--tls-verify=false", f"{self.node}/{own}:v1")

    def forget(self) -> None:
        self._run("rmi", "--all", "--force")

    def close(self) -> None:
        """Nothing was started."""
        self._runroot.cleanup()

    def _pull(self, *words: str) -> set[str]:
        identity = self._run("pull", "--quiet", *words).split()[-1]
        return {f"sha256:{identity}"}

    def _run(self, *words: str) -> str:
        return run([*self.command, *words], self.env)
