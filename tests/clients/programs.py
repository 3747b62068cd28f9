"""The programs that the tests and the benches run: one pinned version each, installed by `go` and `pip`.

    python tests/clients/programs.py          installs what is missing into build/tools, and says what it could not

Tests never install: they skip with the reason when a program is not there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

TOOLS: Final = Path(__file__).resolve().parents[2] / "build" / "tools"
INSTALL_S_MAX: Final = 600.0  # a registry compiles in two minutes on two cores
MODULES: Final = {
    "conformance": "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111",
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.22.1",
    "docker-credential-ecr-login": (
        "github.com/awslabs/amazon-ecr-credential-helper/ecr-login/cli/docker-credential-ecr-login@v0.12.0"
    ),
    "oras": "oras.land/oras/cmd/oras@v1.3.6",
    "regctl": "github.com/regclient/regclient/cmd/regctl@v0.11.7",
    "registry": "github.com/distribution/distribution/v3/cmd/registry@v3.1.2",
}


PACKAGES: Final = {"aws": "awscli==1.46.3"}  # in an environment of its own: it wants a botocore of its own


def find(name: str) -> Path | None:
    """Return where the program is: ours in build/tools, else one on the path, else None."""
    ours = TOOLS / name
    found = str(ours) if ours.is_file() else shutil.which(name)
    return Path(found) if found else None


def install(name: str) -> bool:
    """Build the pinned version of `name` into build/tools; False when it cannot be had here."""
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        print(f"{name}: no Go toolchain")
        return False
    TOOLS.mkdir(parents=True, exist_ok=True)
    env = os.environ | {"GOBIN": str(TOOLS), "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run([go, "install", MODULES[name]], env=env, timeout=INSTALL_S_MAX, check=False)
    print(f"{name}: {'installed' if done.returncode == 0 else 'could not be installed'}")
    return done.returncode == 0


def install_package(name: str) -> bool:
    """Install the pinned package of `name` beside build/tools; False when it cannot be had here."""
    place = TOOLS / f"{name}-venv"
    commands = (
        [sys.executable, "-m", "venv", str(place)],
        [str(place / "bin" / "python"), "-m", "pip", "install", "-q", PACKAGES[name]],
    )
    done = all(subprocess.run(command, timeout=INSTALL_S_MAX, check=False).returncode == 0 for command in commands)
    if done:
        (TOOLS / name).symlink_to(place / "bin" / name)
    print(f"{name}: {'installed' if done else 'could not be installed'}")
    return done


def main() -> None:
    TOOLS.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or (*MODULES, *PACKAGES):
        if not (TOOLS / name).is_file():
            (install if name in MODULES else install_package)(name)


if __name__ == "__main__":
    main()
