"""The client of a node's administration socket: the AWS protocols in plain JSON and forms, and the node's own.

Source: ECR.md 3.1; smithy.io, "AWS Query protocol". It talks to a node of ours alone, so answers are believed; but no
answer is read beyond a limit. Never: a signature, a retry (a change that was not answered may have happened).
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote, urlencode
from xml.etree import ElementTree as ET

import orjson

from mirror import __version__
from mirror.oci.errors import RegistryError
from mirror.web.admin_socket import near

if TYPE_CHECKING:
    import aiohttp

ANSWER_S_MAX: Final = 120.0  # deleting a full repository takes the longest
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
IDLE_S_MAX: Final = 30.0  # of an operation that tells how it goes: the node says something each second
CHUNK_BYTES: Final = 64 * 1024
PAGES_MAX: Final = 10_000  # a registry has 100,000 repositories at most
IAM_VERSION: Final = "2010-05-08"
_URL: Final = "http://node"  # no name that is looked up: the socket is the address
_TARGETS: Final = {"ecr": "AmazonEC2ContainerRegistry_V20150921", "ecr-public": "SpencerFrontendService"}
_POLICIES: Final = frozenset({"AssumeRolePolicyDocument", "PolicyDocument", "Document"})  # IAM percent-encodes them
_NAMESPACE: Final = re.compile(r"\{[^}]*\}")

Service = Literal["ecr", "ecr-public"]
Answer = Mapping[str, Any]


class Refused(RegistryError):
    """What the node says no to, in its own words."""


class Administrator:
    """The operations, called as an account's root."""

    def __init__(self, session: "aiohttp.ClientSession") -> None:
        self._session = session

    async def ecr(self, operation: str, service: Service = "ecr", **given: Any) -> Answer:
        """Call an operation of a registry API. Raises Refused."""
        headers = {"X-Amz-Target": f"{_TARGETS[service]}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        return await self._json("/", given, headers)

    async def ecr_pages(self, operation: str, key: str, service: Service = "ecr", **given: Any) -> list[Any]:
        """Call an operation until its last page; return all that is under `key`."""
        found: list[Any] = []
        for _ in range(PAGES_MAX):
            page = await self.ecr(operation, service, **given)
            found += page.get(key, [])
            if not page.get("nextToken"):
                break
            given["nextToken"] = page["nextToken"]
        return found

    async def iam(self, action: str, **given: str) -> Answer:
        """Call an operation of IAM. Raises Refused."""
        form = urlencode({"Action": action, "Version": IAM_VERSION, **given})
        body = await self._post("/", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        answer: Answer = _read(_parse(body)).get(f"{action}Result") or {}
        return answer

    async def iam_pages(self, action: str, key: str, **given: str) -> list[Any]:
        """Call an operation of IAM until its last page; return all that is under `key`."""
        found: list[Any] = []
        for _ in range(PAGES_MAX):
            page = await self.iam(action, **given)
            found += page.get(key) or []
            if page.get("IsTruncated") != "true":
                break
            given["Marker"] = page["Marker"]
        return found

    async def own(self, kind: str, operation: str, **given: Any) -> Answer:
        """Call an operation of the node's own: on secrets, passwords or accounts. Raises Refused."""
        return await self._json(f"/{kind}", {"operation": operation, **given}, {})

    async def follow(self, kind: str, operation: str, heard: Callable[[Answer], object], **given: Any) -> Answer:
        """Call an operation that tells how it goes: `heard` is told each event; return the result. Raises Refused."""
        import aiohttp

        data = orjson.dumps({"operation": operation, **given})
        patient = aiohttp.ClientTimeout(total=None, sock_read=IDLE_S_MAX)
        try:
            async with self._session.post(f"{_URL}/{kind}", data=data, timeout=patient) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await _whole(response))
                async for line in _lines(response):
                    event: Answer = orjson.loads(line)
                    if event["event"] == "result":
                        return event
                    heard(event)
        except TimeoutError:
            raise Refused(f"the node has said nothing for {IDLE_S_MAX:.0f} s") from None
        except aiohttp.ClientError as error:
            raise Refused(f"the node cannot be asked: {error}") from None
        raise Refused("the node broke off before the end")

    async def _json(self, path: str, given: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        body = await self._post(path, orjson.dumps(given), headers)
        answer: Answer = orjson.loads(body)
        return answer

    async def _post(self, path: str, data: bytes, headers: Mapping[str, str]) -> bytes:
        import aiohttp

        try:
            async with self._session.post(_URL + path, data=data, headers=headers) as response:
                body = await _whole(response)
        except TimeoutError:
            raise Refused(f"the node has not answered within {ANSWER_S_MAX:.0f} s") from None
        except aiohttp.ClientError as error:
            raise Refused(f"the node cannot be asked: {error}") from None
        if response.status >= 400:
            raise _refusal(response.status, body)
        return body


@asynccontextmanager
async def reached(path: Path, account: str = "") -> AsyncIterator[Administrator]:
    """Reach the node whose socket is at `path`, as the root of `account` or else of the node's own."""
    # A tenth of a second to load: `mirror --help` does without.
    import aiohttp

    headers = {"User-Agent": f"mirror-cli/{__version__}", **({"X-Mirror-Account": account} if account else {})}
    with near(path) as address:
        async with aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(address),
            timeout=aiohttp.ClientTimeout(total=ANSWER_S_MAX),
            headers=headers,
        ) as session:
            yield Administrator(session)


async def _whole(response: "aiohttp.ClientResponse") -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(CHUNK_BYTES):
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise Refused("the node's answer has no end")
    return bytes(body)


async def _lines(response: "aiohttp.ClientResponse") -> AsyncIterator[bytes]:
    """Yield the lines of an answer as they come."""
    rest = bytearray()
    async for chunk in response.content.iter_any():
        first, *others = chunk.split(b"\n")
        rest += first
        for other in others:
            yield bytes(rest)
            rest = bytearray(other)
        if len(rest) > ANSWER_BYTES_MAX:
            raise Refused("the node's answer has no end")


def _refusal(status: int, body: bytes) -> Refused:
    """Read a refusal, in the form of either protocol: what the node says before it knows the API is JSON."""
    if body.startswith(b"{"):
        said = orjson.loads(body)
        return Refused(f"{said.get('__type', status)}: {said.get('message', '')}")
    error = _read(_parse(body)).get("Error", {})
    return Refused(f"{error.get('Code', status)}: {error.get('Message', '')}")


def _parse(body: bytes) -> ET.Element:
    try:
        return ET.fromstring(body)  # noqa: S314 - of our own node, which is believed
    except ET.ParseError:
        raise Refused("the node's answer cannot be read") from None


def _read(element: ET.Element) -> Any:
    """Read XML as the protocol means it: `member` elements are a list, others with elements in them a structure."""
    children = list(element)
    if not children:
        text = element.text or ""
        return unquote(text) if _name(element) in _POLICIES else text
    if all(_name(child) == "member" for child in children):
        return [_read(child) for child in children]
    return {_name(child): _read(child) for child in children}


def _name(element: ET.Element) -> str:
    return _NAMESPACE.sub("", element.tag)
