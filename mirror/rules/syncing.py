"""What is synchronized from upstreams: repositories and tags that are fetched before anybody asks for them.

Source: issue section "Any registry". The shape is that of `[[sync]]` in the configuration. Names are those by which
clients of the node's own private registry pull: `docker.io/library/alpine`. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mirror.oci.digest import parse_digest
from mirror.oci.names import Reference, parse_name, parse_tag
from mirror.rules.patterns import Patterns, newest

TAG_DEFAULT: Final = "latest"
COSIGN: Final = ("sig", "att", "sbom")  # what cosign puts beside an image, each under a tag of its digest


@dataclass(frozen=True, slots=True)
class SyncRule:
    """One `[[sync]]`. Times in seconds; `every_s` 0 means on demand only; `newest` 0 means all."""

    name: str
    repositories: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    newest: int = 0
    platforms: tuple[str, ...] = ()
    referrers: bool = True
    delete: bool = False
    every_s: float = 0.0
    bytes_s_max: int = 0
    windows: tuple[str, ...] = ()


def read_image(text: str) -> tuple[str, Reference]:
    """Read `repository:tag` or `repository@digest`, without either of tag `latest`: its name, and which image.

    Raises NameInvalid, TagInvalid, DigestInvalid.
    """
    text, at, digest = text.partition("@")
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        name, tag = text, TAG_DEFAULT
    return parse_name(name), parse_digest(digest) if at else parse_tag(tag)


def chosen_tags(rule: SyncRule, listed: Iterable[str]) -> Sequence[str]:
    """Return those of the tags that an upstream lists which a rule wants."""
    patterns = Patterns(rule.tags)
    found = [tag for tag in listed if patterns.match(tag)]
    return newest(found, rule.newest) if rule.newest else found
