"""A node with accounts, and the AWS CLI that drives it: what the AWS user guide's pages need, and no more.

The names: `localhost` is the account's private registry, 127.0.0.2 the public one; neither needs a DNS.
"""

import configparser
import json
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Final

from tests.clients.client import Unavailable
from tests.clients.daemons import Daemon, attempt, client_env, is_open, run
from tests.clients.programs import find
from tests.ports import free_port

ACCOUNT: Final = "111111111111"
OTHER: Final = "222222222222"
REGION: Final = "us-east-1"

CONFIG: Final = """
[server]
listen = ["127.0.0.1:{port}", "127.0.0.2:{port}"]
{public_url}
[storage]
root = "{root}/store"
[access]
anonymous = []
[registry]
account = "{account}"
region = "us-east-1"
domain = "{domain}"
[iam]
file = "{root}/iam.toml"
[[host]]
name = "127.0.0.2"
registry = "public"
login = "token"
"""
IAM: Final = """
[[account]]
id = "{account}"
[[account]]
id = "{other}"
[[user]]
account = "{account}"
name = "root"
access_keys = [{{ id = "AKIAROOT0000000000AA", secret_file = "secret" }}]
[[user]]
account = "{account}"
name = "nobody"
access_keys = [{{ id = "AKIANOBODY00000000AA", secret_file = "secret" }}]
inline = [{{ name = "login", document = '''{{ "Version": "2012-10-17", "Statement": [
  {{ "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*" }} ] }}''' }}]
[[user]]
account = "{other}"
name = "reader"
access_keys = [{{ id = "AKIAREADER00000000AA", secret_file = "secret" }}]
policies = ["AmazonEC2ContainerRegistryReadOnly"]
"""
SECRET: Final = "a-secret-of-forty-characters-0123456789x"
KEYS: Final = {"root": "AKIAROOT0000000000AA", "nobody": "AKIANOBODY00000000AA", "reader": "AKIAREADER00000000AA"}


class EcrNode:
    """A node as a process, with two accounts and three users."""

    def __init__(self, root: Path, *, domain: str = "localhost", public_url: str = "") -> None:
        self.root, self.port = root, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.private, self.public = f"localhost:{self.port}", f"127.0.0.2:{self.port}"
        (root / "secret").write_text(SECRET + "\n")
        (root / "secret").chmod(0o600)
        (root / "iam.toml").write_text(IAM.format(account=ACCOUNT, other=OTHER))
        config = root / "mirror.toml"
        public = f'public_url = "{public_url}"' if public_url else ""
        config.write_text(CONFIG.format(port=self.port, root=root, account=ACCOUNT, domain=domain, public_url=public))
        self.daemon = Daemon([Path(sys.executable).with_name("mirror"), "serve", "--config", config], root / "log")

    def start(self) -> None:
        self.daemon.start(lambda: is_open(self.port))

    def stop(self) -> None:
        self.daemon.stop()


class Aws:
    """The AWS CLI as one user of the node."""

    def __init__(self, node: EcrNode, user: str) -> None:
        found = find("aws")
        if found is None:
            raise Unavailable("aws is missing: python tests/clients/programs.py aws")
        self.program = found
        self.env = client_env(node.root / f"home-{user}") | {
            "AWS_ACCESS_KEY_ID": KEYS[user],
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": node.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def __call__(self, *words: str) -> Any:
        """Run `aws ...` and return its answer, read as JSON."""
        text = run([self.program, *words, "--output", "json"], self.env)
        return json.loads(text) if text.strip() else None

    def text(self, *words: str) -> str:
        return run([self.program, *words], self.env)

    def refused(self, *words: str) -> str:
        """Run `aws ...`, which must fail; return what it says."""
        done = attempt([self.program, *words], self.env)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def password(self, service: str = "ecr") -> str:
        return self.text(service, "get-login-password", "--region", REGION)


def root_credentials(store: Path) -> tuple[str, str]:
    """Read the root access key that a first start leaves."""
    read = configparser.ConfigParser()
    read.read(store / "root.credentials")
    section = read[read.sections()[0]]
    return section["aws_access_key_id"], section["aws_secret_access_key"]


def failed(done: CompletedProcess[str]) -> str:
    """Return what a command that had to fail said."""
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr
