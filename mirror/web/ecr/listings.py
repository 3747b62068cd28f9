"""Listings of images: one entry for each tag, page by page, and what the filters of the lists mean.

Source: ECR.md 1.3, "ListImages" and "Pagination". A page may end between two tags of one image.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from mirror.oci.names import Repository
from mirror.store.images import Image, Images, Status
from mirror.web.ecr.paging import invalid_token

READ_AT_ONCE: Final = 100  # images: each has up to 1,000 tags

TAGGED: Final[Mapping[str, bool | None]] = {"TAGGED": True, "UNTAGGED": False, "ANY": None}
Entry = tuple[Image, str, float]  # an image, a tag of it or "", and when that tag was set (unix seconds)
Wanted = Literal["ACTIVE", "ARCHIVED", "ACTIVATING"] | None


def read_status(wanted: Mapping[str, Any]) -> Wanted:
    """Return which status a filter wants; None is any. Nothing is ever ACTIVATING here: a restore takes no time."""
    status: Literal["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"] = wanted.get("imageStatus", "ACTIVE")
    return None if status == "ANY" else status


async def list_image_ids(
    images: Images,
    repository: Repository,
    cursor: Sequence[Any] | None,
    limit: int,
    *,
    status: Status | None = None,
    tagged: bool | None = None,
    named_only: bool = False,
) -> tuple[list[Entry], list[str] | None]:
    """List up to `limit` entries, and where the next page begins; `named_only` leaves out those without a tag.

    A cursor is the digest of the last image that was listed whole, then the image and the tag that were listed last.
    """
    done, within, last_tag = _read_cursor(cursor)
    entries: list[Entry] = []
    while page := await images.page(repository, after=done, limit=READ_AT_ONCE, status=status, tagged=tagged):
        for image in page:
            digest = str(image.digest)
            for tag, at in _tags(image, named_only=named_only):
                if digest == within and tag <= last_tag:
                    continue
                if len(entries) == limit:
                    last, tag_listed, _ = entries[-1]
                    return entries, [done, str(last.digest), tag_listed]
                entries.append((image, tag, at))
            done = digest
    return entries, None


def _tags(image: Image, *, named_only: bool) -> list[tuple[str, float]]:
    if image.tags:
        return list(zip(image.tags, image.tagged_at, strict=True))
    return [] if named_only else [("", image.pushed_at)]


def _read_cursor(cursor: Sequence[Any] | None) -> tuple[str, str, str]:
    if cursor is None:
        return "", "", ""
    if len(cursor) != 3 or not all(isinstance(part, str) for part in cursor):
        raise invalid_token()
    return cursor[0], cursor[1], cursor[2]
