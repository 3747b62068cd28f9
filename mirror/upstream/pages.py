"""Lists that come in pages: tags and referrers.

Source: distribution-spec 1.1, "Listing Tags" and "Listing Referrers"; RFC 8288 for `Link`. Every list is bounded. Pure.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import orjson
from yarl import URL

from mirror.oci.errors import TagInvalid, UpstreamError
from mirror.oci.names import parse_tag
from mirror.upstream.limits import SMALL_BYTES_MAX, TAGS_MAX

_NEXT: Final = re.compile(
    r'<([^<>\x00-\x20]{1,4096})>(?:[ \t]*;[^,]*)?;[ \t]*rel="?next"?(?:[ \t]*[;,].*)?', re.IGNORECASE
)


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


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
    found: dict[str, None] = {}
    for page in pages:
        try:
            tags = msgspec.json.decode(page, type=_Tags).tags or []
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamError("upstream answered something that is no list of tags") from None
        found.update((tag, None) for tag in tags if _is_tag(tag))
        if len(found) > TAGS_MAX:
            raise UpstreamError(f"upstream lists more than {TAGS_MAX} tags")
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


def _is_tag(text: str) -> bool:
    try:
        parse_tag(text)
    except TagInvalid:
        return False
    return True
