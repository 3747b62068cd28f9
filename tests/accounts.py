"""People for tests of a whole node: two accounts, users with and without rights, their keys, passwords and tokens.

async with populated(tmp_path) as town:
    image = await push_image(town.client(ADMIN), "team/app", "v1")       # by an authorization token, at their host
    status, _, body = await town.client(STRANGER).fetch("/v2/team/app/manifests/v1")
    status, _, body = await town.client().fetch(...)                     # nobody in particular
    await town.set_policy("team/app", policy(allow("*", "ecr:BatchGetImage")))

A `Client` is a RunningNode whose requests carry a Host and an Authorization of their own.
"""

import base64
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, Final

import msgspec
from running import RunningNode, running
from signing import signed

from mirror.config.settings import Home, Iam
from mirror.node.assembly import House
from mirror.oci.names import Registry, Repository
from mirror.registry.account_settings import ACCOUNT_SETTING, SCOPE
from mirror.registry.authority import REGISTRY_POLICY
from mirror.registry.identities.callers import Credential
from mirror.store.documents import Edit

OWNER: Final = "111111111111"  # the node's own account
OTHER: Final = "222222222222"
REGION: Final = "us-east-1"
DOMAIN: Final = "mirror.test"
HOME: Final = Home(account=OWNER, domain=DOMAIN, create_on_push=True)
TARGETS: Final = {
    "ecr": "AmazonEC2ContainerRegistry_V20150921",
    "ecr-public": "SpencerFrontendService",
}
FULL: Final = "AmazonEC2ContainerRegistryFullAccess"
READ_ONLY: Final = "AmazonEC2ContainerRegistryReadOnly"
POWER: Final = "AmazonEC2ContainerRegistryPowerUser"


@dataclass(frozen=True, slots=True)
class Person:
    """A user as iam.toml declares one; `inline` are the statements of a policy of their own."""

    account: str
    name: str
    policies: tuple[str, ...] = ()
    inline: tuple[Mapping[str, Any], ...] = ()
    password: str = ""
    key: tuple[str, str] = ("", "")  # id and secret, where the node has made them

    @property
    def key_id(self) -> str:
        return self.key[0] or f"AKIA{self.account[:4]}{self.name.upper()}"

    @property
    def secret(self) -> str:
        return self.key[1] or f"secret/of+{self.name}{self.account}"

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user/{self.name}"


def allow(principal: object, *actions: str, **more: Any) -> dict[str, Any]:
    """A statement that allows; of an identity's own policy where `principal` is None."""
    return _statement("Allow", principal, actions, more)


def deny(principal: object, *actions: str, **more: Any) -> dict[str, Any]:
    return _statement("Deny", principal, actions, more)


def _statement(effect: str, principal: object, actions: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
    said = {"Principal": principal if principal == "*" else {"AWS": principal}} if principal else {"Resource": "*"}
    return {"Effect": effect, **said, "Action": list(actions), **more}


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


NOBODY: Final = Person(OWNER, "nobody")
PULLER: Final = Person(OWNER, "puller", (READ_ONLY,), password="correct horse battery")
PUSHER: Final = Person(
    OWNER,
    "pusher",
    inline=(
        allow(None, "ecr:GetAuthorizationToken", "ecr:PutImage", "ecr:CreateRepository"),
        allow(None, "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload"),
    ),
)
DELETER: Final = Person(OWNER, "deleter", inline=(allow(None, "ecr:BatchDeleteImage"),))
ADMIN: Final = Person(OWNER, "admin", (FULL,))
STRANGER: Final = Person(OTHER, "stranger", (FULL,), password="another battery staple")
BARE: Final = Person(OTHER, "bare")
PEOPLE: Final = (NOBODY, PULLER, PUSHER, DELETER, ADMIN, STRANGER, BARE)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def host_of(account: str) -> str:
    return f"{account}.dkr.ecr.{REGION}.{DOMAIN}"


def arn_of(account: str, name: str) -> str:
    return f"arn:aws:ecr:{REGION}:{account}:repository/{name}"


def declare(folder: Path, people: Iterable[Person]) -> Iam:
    """Write an iam.toml that declares `people`, the secrets in files beside it."""
    lines = []
    for person in people:
        stem = f"{person.account}.{person.name}"
        _secret(folder / f"{stem}.key", person.secret)
        lines += ["[[user]]", f'account = "{person.account}"', f'name = "{person.name}"']
        lines.append(f'access_keys = [{{ id = "{person.key_id}", secret_file = "{stem}.key" }}]')
        lines.append(f"policies = {json.dumps(person.policies)}")
        if person.inline:
            lines.append(f"inline = [{{ name = \"own\", document = '''{policy(*person.inline)}''' }}]")
        if person.password:
            _secret(folder / f"{stem}.password", person.password)
            lines.append(f'password_file = "{stem}.password"')
    path = folder / "iam.toml"
    path.write_text("\n".join([*lines, ""]))
    return Iam(file=str(path))


def _secret(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


class Client(RunningNode):
    """A node as one caller asks it: every request carries their Host and Authorization ("" for none)."""

    def __init__(self, node: RunningNode, host: str, credential: str) -> None:
        super().__init__(node.node, node.session)
        self._own = {"Host": host} if host else {}
        if credential:
            self._own["Authorization"] = credential

    def request(self, method: str, path: str, **options: Any) -> Any:
        headers = {**self._own, **options.pop("headers", {})}
        return super().request(method, path, headers=headers, **options)

    def asking(self, method: str, path: str, *lines: str) -> bytes:
        """Write a request as clients send it, byte by byte, with further header lines."""
        own = [f"{name}: {value}" for name, value in {"Host": "mirror", **self._own}.items()]
        return "\r\n".join([f"{method} {path} HTTP/1.1", *own, "User-Agent: x", *lines, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Town:
    """A node with people."""

    node: RunningNode
    folder: Path

    @property
    def house(self) -> House:
        house = self.node.node._house
        assert house is not None
        return house

    def client(self, person: Person | None = None, *, host: str | None = None, credential: str | None = None) -> Client:
        """Ask as `person`, with an authorization token, at the owner's host unless another one is named."""
        if credential is None:
            credential = self.login(person) if person is not None else ""
        return Client(self.node, host_of(OWNER) if host is None else host, credential)

    def login(self, person: Person, *, audience: str = "ecr", now: float | None = None, expires_at: float = inf) -> str:
        """Return the Basic credential that GetAuthorizationToken would give `person` at `now` (unix seconds)."""
        return basic("AWS", self.password(person, audience=audience, now=now, expires_at=expires_at))

    def password(
        self, person: Person, *, audience: str = "ecr", now: float | None = None, expires_at: float = inf
    ) -> str:
        known, now = self.house.known, time.time() if now is None else now
        principal, secret = known.identities.find_key(person.key_id, None, now)
        assert secret == person.secret
        shown = known.identities.credential(person.key_id)
        shown = Credential(shown.key_id, shown.origin, expires_at)
        return known.tokens.issue_login(principal, shown, audience, now).text

    async def call(self, person: Person | None, service: str, operation: str, **given: Any) -> tuple[int, Any]:
        """Call an operation of ECR or ECR Public, signed by a person's key or not at all; return status and answer."""
        target = TARGETS[service]
        headers = {"X-Amz-Target": f"{target}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        body, url = json.dumps(given).encode(), f"{self.node.url}/"
        if person is not None:
            headers = signed("POST", url, body, service, REGION, person.key_id, person.secret, headers=headers)
        async with self.node.request("POST", "/", data=body, headers=headers) as response:
            return response.status, json.loads(await response.read())

    async def redeclare(self, people: Iterable[Person]) -> None:
        """Make `people` all that the file declares, as the operator does: write it, and reload."""
        declare(self.folder, people)
        await self.node.node._reload.run(self.house, "")

    async def settle(self, person: Person) -> Person:
        """Make a user as IAM's API does: unlike declared ones they can be changed and deleted by it."""
        identities, now = self.house.known.identities, time.time()
        account, name = person.account, person.name
        await identities.holders.create_user(account, name, now)
        for attached in person.policies:
            await identities.holders.attach(account, "user", name, f"arn:aws:iam::aws:policy/{attached}")
        if person.inline:
            await identities.holders.put_inline(account, "user", name, "own", policy(*person.inline))
        if person.password:
            await identities.logins.create(account, name, person.password, now)
        key, secret = await identities.keys.create(account, name, now)
        return replace(person, key=(key.id, secret))

    def repository(self, name: str, account: str = OWNER) -> Repository:
        return self.house.repositories.get(Registry(account), name)

    async def set_policy(self, name: str, text: str, account: str = OWNER) -> None:
        """Set a repository's policy; "" takes it away."""
        repository = self.repository(name, account)
        await self.house.repositories.change(repository, lambda old: msgspec.structs.replace(old, policy=text))

    async def set_tags(self, name: str, tags: Mapping[str, str], account: str = OWNER) -> None:
        repository = self.repository(name, account)
        await self.house.repositories.change(repository, lambda old: msgspec.structs.replace(old, tags=dict(tags)))

    async def set_registry_policy(self, text: str, account: str = OWNER, scope: str = "V2") -> None:
        registry = Registry(account)
        body = text.encode() or None
        edits = [Edit(registry, REGISTRY_POLICY, "", body), Edit(registry, ACCOUNT_SETTING, SCOPE, scope.encode())]
        await self.house.store.documents.write(edits)


@asynccontextmanager
async def populated(root: Path, *, people: Iterable[Person] = PEOPLE, **options: Any) -> AsyncIterator[Town]:
    """Run a node of the owner's account with these people. Nothing is for everybody unless `anonymous` says so."""
    folder = root / "iam"
    folder.mkdir(exist_ok=True)
    given = {"anonymous": (), "home": HOME, **options}
    async with running(root / "store", iam=declare(folder, people), **given) as node:
        yield Town(node, folder)
