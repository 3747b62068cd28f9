"""Clients that copy between a registry and an OCI layout: skopeo, crane, oras, regctl. CLIENTS.md 1.7 and 2.

They name the node themselves: skopeo and regctl by the upstream's path prefix, crane and oras by root names.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.clients.client import Unavailable
from tests.clients.daemons import client_env, run
from tests.clients.programs import find


@dataclass(frozen=True, slots=True)
class Words:
    """How to say "fetch REFERENCE into LAYOUT" and "send LAYOUT to REFERENCE"; `prefix` is where docker.io lies."""

    fetch: str
    send: str
    prefix: str = ""


LANGUAGES: Final[Mapping[str, Words]] = {
    "skopeo": Words(
        fetch="copy --all --src-tls-verify=false docker://REFERENCE oci:LAYOUT:latest",
        send="copy --all --dest-tls-verify=false oci:LAYOUT:latest docker://REFERENCE",
        prefix="docker.io/",
    ),
    "crane": Words(fetch="pull --insecure --format=oci REFERENCE LAYOUT", send="push --insecure LAYOUT REFERENCE"),
    "oras": Words(
        fetch="cp --from-plain-http REFERENCE --to-oci-layout LAYOUT:latest",
        send="cp --from-oci-layout LAYOUT:latest --to-plain-http REFERENCE",
    ),
    "regctl": Words(
        fetch="--host reg=NODE,tls=disabled image copy REFERENCE ocidir://LAYOUT:latest",
        send="--host reg=NODE,tls=disabled image copy ocidir://LAYOUT:latest REFERENCE",
        prefix="docker.io/",
    ),
}


class Layouts:
    """One of LANGUAGES; its image store is a folder for each image."""

    def __init__(self, program: str, root: Path, node: str) -> None:
        found = find(program)
        if found is None:
            raise Unavailable(f"{program} is missing: python tests/clients/programs.py {program}")
        self.program, self.words, self.root, self.node = found, LANGUAGES[program], root, node
        self.env = client_env(root / "home")

    def pull(self, name: str, tag: str) -> set[str]:
        return self._fetch(f"{self.words.prefix}library/{name}:{tag}", self.root / "images" / name / tag)

    def push(self, name: str, own: str) -> None:
        self._run(self.words.send, f"{own}:v1", self.root / "images" / name / "latest")

    def pull_own(self, own: str) -> set[str]:
        return self._fetch(f"{own}:v1", self.root / "images" / own)

    def forget(self) -> None:
        shutil.rmtree(self.root / "images", ignore_errors=True)

    def close(self) -> None:
        """Nothing was started."""

    def _fetch(self, reference: str, layout: Path) -> set[str]:
        layout.mkdir(parents=True)
        self._run(self.words.fetch, reference, layout)
        return _verified(layout)

    def _run(self, words: str, reference: str, layout: Path) -> None:
        meant = {"REFERENCE": f"{self.node}/{reference}", "LAYOUT": str(layout), "NODE": self.node}
        for word, meaning in meant.items():
            words = words.replace(word, meaning)
        run([self.program, *words.split()], self.env)


def _verified(layout: Path) -> set[str]:
    """Return the digests of a layout's blobs, each read and hashed: a wrong byte does not pass for the right one."""
    blobs = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (layout / "blobs/sha256").iterdir()}
    assert all(name == digest for name, digest in blobs.items()), f"{layout} holds blobs that are not their names"
    return {f"sha256:{name}" for name in blobs}
