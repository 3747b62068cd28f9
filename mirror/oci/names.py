"""Names of repositories, tags, and the reference that is one or the other.

Source: OCI distribution-spec v1.1, "Pulling manifests": the grammars of <name> and <reference>. Pure.
ASCII classes on purpose: `\\d` and `\\w` would take letters of other scripts.
"""

import re
from dataclasses import dataclass
from typing import Final

from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import NameInvalid, TagInvalid

NAME_CHARS_MAX: Final = 255  # distribution-spec: "many clients impose a limit of 255 characters"
TAG_CHARS_MAX: Final = 128
PUBLIC_MARK: Final = "public."

_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, order=True)
class Registry:
    """A registry of this node: the private or the public one of an account. `account` is "" for the node itself."""

    account: str
    public: bool = False

    def __str__(self) -> str:
        return f"{PUBLIC_MARK}{self.account}" if self.public else self.account


def read_registry(text: str) -> Registry:
    """Read what `str` of a registry gave."""
    return Registry(text.removeprefix(PUBLIC_MARK), text.startswith(PUBLIC_MARK))


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A repository of this node's store: `upstream` is the name of the upstream it caches, or "" for our own.

    The three parts are the key: the same name cached from two upstreams is two repositories, and each registry has
    its own.
    """

    registry: Registry
    upstream: str
    name: str

    @property
    def owned(self) -> bool:
        return not self.upstream

    def __str__(self) -> str:
        return f"{self.upstream}/{self.name}" if self.upstream else self.name

    def key(self) -> bytes:
        """Return the repository as index bytes. NUL ends each part: no name has one."""
        return f"{self.registry}\0{self.upstream}\0{self.name}\0".encode()


def repository_from_key(key: bytes) -> Repository:
    """Read the repository at the start of an index key."""
    registry, upstream, name, *_ = key.split(b"\0", 3)
    return Repository(read_registry(registry.decode()), upstream.decode(), name.decode())


Reference = str | Digest  # a tag is a str that `parse_tag` has seen


def parse_name(text: str) -> str:
    """Read a repository name; anything outside the grammar raises NameInvalid."""
    if len(text) > NAME_CHARS_MAX:
        raise NameInvalid(f"repository name of {len(text)} characters: at most {NAME_CHARS_MAX} are allowed")
    if not _NAME.fullmatch(text):
        raise NameInvalid(
            f"repository name {text!r}: lower-case letters, digits and single . _ - between them, parts joined by /"
        )
    return text


def parse_tag(text: str) -> str:
    """Read a tag; anything outside the grammar raises TagInvalid."""
    if not _TAG.fullmatch(text):
        raise TagInvalid(f"tag {text[:160]!r}: 1 to {TAG_CHARS_MAX} of letters, digits, . _ -, none of . - first")
    return text


def parse_reference(text: str) -> Reference:
    """Read `<algorithm>:<hex>` as a digest, anything else as a tag. Raises DigestInvalid or TagInvalid."""
    return parse_digest(text) if ":" in text else parse_tag(text)
