"""What authorization costs: the same warm pulls by nobody in particular and with a token of GetAuthorizationToken.

Aims (issue 3): at most 1.5 times the CPU of an anonymous pull; 2,000 manifests and 3,000 blobs a second, ECR's own
rates of an account.
"""

import configparser
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.content import make_image
from bench.peers import running
from bench.walk import Bench, Pace, Walk, main
from bench.warm import get
from tests.signing import signed

CONNECTIONS: Final = 32
REGION: Final = "us-east-1"
TARGET: Final = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"
REQUEST_S_MAX: Final = 10.0


def token(port: int, store: Path) -> str:
    """Return the base64 of `AWS:<password>` that the node gives to the root key of its first start."""
    found = configparser.ConfigParser()
    found.read(store / "root.credentials")
    key = found[found.sections()[0]]
    url, body = f"http://127.0.0.1:{port}/", b"{}"
    sent = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1"}
    headers = signed(
        "POST", url, body, "ecr", REGION, key["aws_access_key_id"], key["aws_secret_access_key"], headers=sent
    )
    request = urllib.request.Request(url, body, headers, method="POST")
    with urllib.request.urlopen(request, timeout=REQUEST_S_MAX) as answer:
        text: str = json.loads(answer.read())["authorizationData"][0]["authorizationToken"]
    return text


@contextmanager
def _set_up(root: Path, pace: Pace) -> Iterator[Bench]:
    content = root / "content"
    content.mkdir()
    image = make_image(content, ())
    with running(root) as found:
        peers = [peer for peer in found if peer.name in ("mirror", "nginx")]
        for peer in peers:
            peer.take(image)
        mirror = next(peer for peer in peers if peer.name == "mirror")
        login = f"Authorization: Basic {token(mirror.port, root / 'mirror' / 'store')}"
        cases = {}
        for name, path in (("manifest", "manifests/latest"), ("4 KiB blob", f"blobs/{image.blobs[0].digest}")):
            cases[f"{name}, anonymous"] = get(path, CONNECTIONS, pace)
            cases[f"{name}, with a token"] = get(path, CONNECTIONS, pace, login)
        yield Bench(peers, cases)


WALK: Final = Walk("warm, authorized", _set_up)

if __name__ == "__main__":
    main(WALK)
