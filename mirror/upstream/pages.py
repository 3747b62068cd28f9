"""Lists that come in pages: tags, referrers and repositories.

Source: distribution-spec 1.1, "Listing Tags" and "Listing Referrers"; distribution's `/v2/_catalog`; RFC 8288 for
`Link`. Every list is bounded. Pure.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
import orjson
from yarl import URL

from mirror.oci.errors import NameInvalid, TagInvalid, UpstreamError
from mirror.oci.names import parse_name, parse_tag
from mirror.upstream.limits import NAMES_MAX, SMALL_BYTES_MAX, TAGS_MAX

_NEXT: Final = re.compile(
    r'<([^<>\x00-\x20]{1,4096})>(?:[ \t]*;[^,]*)?;[ \t]*rel="?next"?(?:[ \t]*[;,].*)?', re.IGNORECASE
)

T = TypeVar("T")


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class _Names(msgspec.Struct):
    repositories: list[str] | None = None


def next_page(links: Sequence[str], page: URL) -> URL | None:
    """Read the `Link` header lines of the answer at `page`; None when it was the last page.

    Raises UpstreamError for a next page at another origin.
    """
    match = next((found for link in links if (found := _NEXT.search(link)) is not None), None)
    if match is None:
        return None
    try:
        following = page.join(URL(match[1], encoded=True))
        same = following.origin() == page.origin()
    except ValueError:
        same = False
    if not same or following.user is not None:
        raise UpstreamError("upstream names a next page at another place")
    return following


def read_tags(pages: Iterable[bytes]) -> list[str]:
    """Join the pages of a tag list; what is no tag cannot be asked for and is left out. Raises UpstreamError."""
    return _joined((page.tags or [] for page in _decoded(pages, _Tags, "tags")), parse_tag, TAGS_MAX, "tags")


def read_names(pages: Iterable[bytes]) -> list[str]:
    """Join the pages of a list of repositories; what is no name is left out. Raises UpstreamError."""
    found = (page.repositories or [] for page in _decoded(pages, _Names, "repositories"))
    return _joined(found, parse_name, NAMES_MAX, "repositories")


def _decoded(pages: Iterable[bytes], shape: type[T], what: str) -> Iterator[T]:
    for page in pages:
        try:
            yield msgspec.json.decode(page, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamError(f"upstream answered something that is no list of {what}") from None


def _joined(pages: Iterable[list[str]], parse: Callable[[str], str], count_max: int, what: str) -> list[str]:
    found: dict[str, None] = {}
    for page in pages:
        found.update((text, None) for text in page if _reads(parse, text))
        if len(found) > count_max:
            raise UpstreamError(f"upstream lists more than {count_max} {what}")
    return list(found)


def read_referrers(pages: Sequence[bytes]) -> bytes:
    """Return the index of referrers: one page as it came, several joined into one. Raises UpstreamError."""
    indexes = [_index(page) for page in pages]
    if len(pages) == 1:
        return pages[0]
    joined = orjson.dumps({**indexes[0], "manifests": [entry for index in indexes for entry in index["manifests"]]})
    if len(joined) > SMALL_BYTES_MAX:
        raise UpstreamError(f"upstream lists more than {SMALL_BYTES_MAX} bytes of referrers")
    return joined


def _index(page: bytes) -> dict[str, Any]:
    try:
        index = orjson.loads(page)
    except orjson.JSONDecodeError:
        index = None
    if not isinstance(index, dict) or not isinstance(index.setdefault("manifests", []), list):
        raise UpstreamError("upstream answered something that is no index of referrers")
    return index


def _reads(parse: Callable[[str], str], text: str) -> bool:
    try:
        parse(text)
    except (TagInvalid, NameInvalid):
        return False
    return True
