"""Words for tests that push into a whole node: small images, manifests, errors, and answers read byte by byte.

image = await push_image(node, "team/app", "v1")
status, headers, body = await ask(node, "PUT", "/v2/team/app/manifests/v1", data=image.manifest)
[answer] = read_answers(await node.raw(b"GET /v2/ HTTP/1.1\\r\\nHost: node\\r\\nConnection: close\\r\\n\\r\\n"))
"""

import asyncio
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from running import RunningNode

from mirror.oci.media import OCI_INDEX, OCI_MANIFEST

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

QUICK_S_MAX = 5.0  # "quickly": well below the 15 s after which an idle connection is closed anyway


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha512(data: bytes) -> str:
    return "sha512:" + hashlib.sha512(data).hexdigest()


def described(data: bytes, media_type: str = OCI_LAYER, **more: Any) -> dict[str, Any]:
    """The descriptor of some bytes, by sha256 unless `digest` says otherwise."""
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


def written(body: Mapping[str, Any]) -> bytes:
    """JSON with a layout of its own, so that whoever writes it anew is found out."""
    return json.dumps(body, indent=5).encode() + b"\n"


def image_manifest(config: bytes, layers: Iterable[bytes] = (), /, **more: Any) -> bytes:
    body = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": described(config, OCI_CONFIG),
        "layers": [described(layer) for layer in layers],
    }
    return written(body | more)


def index_manifest(children: Iterable[bytes] = (), /, **more: Any) -> bytes:
    manifests = [described(data, OCI_MANIFEST) for data in children]
    return written({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests} | more)


@dataclass(frozen=True, slots=True)
class PushedImage:
    config: bytes
    layer: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        return sha256(self.manifest)


async def ask(node: RunningNode, method: str, path: str, **options: Any) -> tuple[int, Any, bytes]:
    """Send a request and return status, headers and body."""
    async with node.request(method, path, **options) as response:
        return response.status, response.headers, await response.read()


async def push_blob(node: RunningNode, name: str, data: bytes) -> str:
    await node.push_blob(name, data, sha256(data))
    return sha256(data)


async def put_manifest(
    node: RunningNode,
    name: str,
    reference: str,
    data: bytes | io.BytesIO,
    media_type: str = OCI_MANIFEST,
    **headers: str,
) -> tuple[int, Any, bytes]:
    sent = {"Content-Type": media_type, **headers}
    return await ask(node, "PUT", f"/v2/{name}/manifests/{reference}", data=data, headers=sent)


async def push_image(node: RunningNode, name: str, tag: str, seed: str = "") -> PushedImage:
    """Push a small image that differs by name, tag and `seed`."""
    config, layer = f'{{"of": "{name}:{tag}{seed}"}}'.encode(), f"layer of {name}:{tag}{seed}".encode() * 50
    image = PushedImage(config, layer, image_manifest(config, [layer]))
    for blob in (config, layer):
        await push_blob(node, name, blob)
    status, _, body = await put_manifest(node, name, tag, image.manifest)
    assert status == 201, body
    return image


def code_of(body: bytes) -> str:
    """The code of an error body, which must be JSON as distribution-spec, "Error Codes", has it."""
    [error] = json.loads(body)["errors"]
    assert error["message"]
    assert error["code"] == error["code"].upper()
    return str(error["code"])


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came over the wire; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_answers(data: bytes, *, to_head: bool = False) -> list[Answer]:
    """Read a connection's bytes as answers, to the last byte; `to_head` when they answer HEAD and have no body."""
    answers = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, head
        first, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version in ("HTTP/1.0", "HTTP/1.1"), first
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        bodiless = to_head or status in ("100", "204", "304")
        length = 0 if bodiless else int(headers["content-length"])
        assert len(data) >= length, data
        answers.append(Answer(int(status), headers, data[:length]))
        data = data[length:]
    return answers


def asking(target: bytes) -> bytes:
    """A GET, byte by byte, that ends its connection."""
    return b"GET " + target + b" HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"


async def answered(node: RunningNode, request: bytes) -> tuple[int, str]:
    """Send bytes that must get exactly one answer and then, quickly, the end; return its status and error code."""
    [answer] = read_answers(await asyncio.wait_for(node.raw(request), QUICK_S_MAX))
    return answer.status, code_of(answer.body) if answer.status >= 400 else ""
