"""The tags of a repository as a resource: key and value, which cost reports and policies look at. Not image tags.

Source: ECR guide, "Tagging a private repository"; ECR.md 1.3, "Tags". Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from mirror.aws.errors import InvalidTagParameter, TooManyTags

TAGS_MAX: Final = 50  # ECR quota: resource tags for each repository
KEY_CHARS_MAX: Final = 128
VALUE_CHARS_MAX: Final = 256
RESERVED: Final = "aws:"  # "can't be used": AWS's own tags, whatever the case


def check_tags(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Read the tags of one request. Raises InvalidTagParameter and TooManyTags."""
    tags: dict[str, str] = {}
    for key, value in pairs:
        _check_key(key)
        if len(value) > VALUE_CHARS_MAX:
            raise InvalidTagParameter(
                f"The value of the tag key '{key}' has {len(value)} characters: at most {VALUE_CHARS_MAX} are allowed"
            )
        if key in tags:
            raise InvalidTagParameter(f"Duplicate tag keys found: '{key}'")
        tags[key] = value
    _check_count(tags)
    return tags


def merge(tags: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Return `tags` with `added`, which win. Raises TooManyTags."""
    merged = {**tags, **added}
    _check_count(merged)
    return merged


def untag(tags: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """Return `tags` without `keys`; one that is not there is no fault. Raises InvalidTagParameter."""
    gone = set(keys)
    for key in gone:
        _check_key(key)
    return {key: value for key, value in tags.items() if key not in gone}


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= KEY_CHARS_MAX:
        raise InvalidTagParameter(f"A tag key has {len(key)} characters: 1 to {KEY_CHARS_MAX} are allowed")
    if key.lower().startswith(RESERVED):
        raise InvalidTagParameter(f"The tag key '{key}' is reserved: keys that start with '{RESERVED}' are AWS's")


def _check_count(tags: Mapping[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise TooManyTags(
            "The list of tags on the repository is over the limit. The maximum number of tags that can be applied to a "
            f"repository is {TAGS_MAX}."
        )
