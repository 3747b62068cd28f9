"""Secrets: user names and access tokens for upstreams, named as ECR wants them named, sealed, never shown again.

Source: ECR guide, "Storing your upstream repository credentials in an AWS Secrets Manager secret"; ECR.md 2.5. Each
registry has its own; `credentialArn` of a pull-through cache rule names one. What is asked for is opened at each login,
so a changed secret is used by the next one.
"""

import hashlib
import re
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from mirror.aws.arns import PARTITION
from mirror.aws.errors import (
    InvalidParameter,
    SecretNotFound,
    UnableToAccessSecret,
    UnableToDecryptSecretValue,
    constraint,
)
from mirror.oci.errors import UpstreamDenied
from mirror.oci.names import Registry
from mirror.registry.identities.seals import SealBroken, Seals
from mirror.rules.pullthrough import SECRETS_BELOW, secret_name
from mirror.rules.routing import UpstreamRule
from mirror.store.documents import Documents, Edit
from mirror.upstream.password import Login

KIND: Final = "secret"  # of document; its name is the secret's
NAME_CHARS_MAX: Final = 512  # Secrets Manager: the length of a secret's name
SECRETS_MAX: Final = 500  # of one registry, which has 50 rules at most
SUFFIX_CHARS: Final = 6  # AWS ends a secret's ARN in a hyphen and six characters
_SUFFIX: Final = re.compile(rf"-[a-zA-Z0-9]{{{SUFFIX_CHARS}}}$")


class Secret(msgspec.Struct, frozen=True, rename="camel"):
    """What a secret says, in the JSON that ECR wants of it."""

    username: str
    access_token: str


class _Kept(msgspec.Struct, frozen=True):
    """A secret at rest: `sealed` is the JSON of a Secret."""

    changed_at: float
    sealed: bytes


@dataclass(frozen=True, slots=True)
class SecretCard:
    """What may be told of a secret. `changed_at` in unix seconds."""

    name: str
    arn: str
    changed_at: float


class Secrets:
    """The secrets of all registries of one region."""

    def __init__(self, documents: Documents, seals: Seals, region: str) -> None:
        self._documents = documents
        self._seals = seals
        self._region = region

    # For administration, which speaks of names.

    async def put(self, registry: Registry, name: str, username: str, token: str) -> None:
        """Make a secret, or change it. Raises InvalidParameter for a name that is none, and for one too many."""
        self._check_name(registry, name)
        if self._documents.get(registry, KIND, name) is None and len(self.list(registry)) >= SECRETS_MAX:
            raise InvalidParameter(f"There are {SECRETS_MAX} secrets already: that is how many are kept")
        plain = msgspec.json.encode(Secret(username, token))
        kept = _Kept(time.time(), self._seals.seal(plain, _of(registry, name)))
        await self._documents.write([Edit(registry, KIND, name, msgspec.json.encode(kept))])

    def list(self, registry: Registry) -> list[str]:
        """List the names of a registry's secrets."""
        return [name for name, _ in self._documents.list(registry, KIND)]

    def describe(self, registry: Registry, name: str) -> SecretCard:
        """Tell what may be told of a secret. Raises SecretNotFound."""
        return SecretCard(name, self.arn(registry, name), self._kept(registry, name).changed_at)

    async def delete(self, registry: Registry, name: str) -> None:
        """Delete a secret; rules that name it are refused by their upstream from now on. Raises SecretNotFound."""
        self._kept(registry, name)
        await self._documents.write([Edit(registry, KIND, name, None)])

    # For rules, which speak of ARNs.

    def arn(self, registry: Registry, name: str) -> str:
        """Name a secret as `credentialArn` does."""
        mark = hashlib.sha256(_of(registry, name).encode()).hexdigest()[:SUFFIX_CHARS]
        return f"arn:{PARTITION}:secretsmanager:{self._region}:{registry.account}:secret:{name}-{mark}"

    def read(self, registry: Registry, credential: str) -> Secret:
        """Return what the secret says that `credential` names, by ARN or by name.

        The end of an ARN may be missing. Raises SecretNotFound, UnableToAccessSecret or UnableToDecryptSecretValue.
        """
        name = self._find(registry, credential)
        try:
            plain = self._seals.open(self._kept(registry, name).sealed, _of(registry, name))
        except SealBroken:
            raise UnableToDecryptSecretValue(f"The secret '{name}' was sealed with another key") from None
        return msgspec.json.decode(plain, type=Secret)

    def login(self, registry: Registry, rule: UpstreamRule) -> Login | None:
        """Return what says the user name and password of an upstream; None for a rule that names no secret."""
        if not rule.secret:
            return None

        def login() -> tuple[str, str]:
            try:
                secret = self.read(registry, rule.secret)
            except (SecretNotFound, UnableToAccessSecret, UnableToDecryptSecretValue) as error:
                raise UpstreamDenied(f"secret of upstream {rule.name}: {error.message}") from None
            return secret.username, secret.access_token

        return login

    def _find(self, registry: Registry, credential: str) -> str:
        """Return the name of a secret that is there: as it is given first, then without an ARN's last characters."""
        name = secret_name(credential, self._region, registry.account)
        for candidate in (name, _SUFFIX.sub("", name)):
            if self._documents.get(registry, KIND, candidate) is not None:
                return candidate
        raise _not_found(name)

    def _kept(self, registry: Registry, name: str) -> _Kept:
        body = self._documents.get(registry, KIND, name)
        if body is None:
            raise _not_found(name)
        return msgspec.json.decode(body, type=_Kept)

    def _check_name(self, registry: Registry, name: str) -> None:
        try:
            fits = secret_name(name, self._region, registry.account) == name and len(name) <= NAME_CHARS_MAX
        except (SecretNotFound, UnableToAccessSecret):
            fits = False
        if not fits:
            raise constraint("name", f"must begin with '{SECRETS_BELOW}' and go on with letters, digits or /_+=.@-")


def _of(registry: Registry, name: str) -> str:
    return f"secret/{registry}/{name}"


def _not_found(name: str) -> SecretNotFound:
    return SecretNotFound(f"The secret '{name[:160]}' does not exist")
