"""Quotas: how many images, and bytes of them, an account or each of its repositories may have.

Source: issue section "Space". The shape is that of `[[quota]]` in the configuration. Pure.
"""

from dataclasses import dataclass
from functools import cached_property

from mirror.rules.patterns import Patterns


@dataclass(frozen=True, slots=True)
class Usage:
    """Images and the bytes of their blobs, each blob once a repository."""

    bytes: int = 0
    images: int = 0

    def plus(self, other: "Usage") -> "Usage":
        return Usage(self.bytes + other.bytes, self.images + other.images)


@dataclass(frozen=True)
class QuotaRule:
    """One `[[quota]]`. `account`: whose, "" for the node's own.

    With `repositories` it holds for each repository that these patterns match, else for all of the account together. A
    limit of 0 is none.
    """

    account: str = ""
    repositories: tuple[str, ...] = ()
    bytes_max: int = 0
    images_max: int = 0

    @property
    def is_for_each(self) -> bool:
        """Tell whether it holds for each repository alone."""
        return bool(self.repositories)

    def covers(self, name: str) -> bool:
        """Tell whether it holds for, or counts, the repository `name`."""
        return self._patterns.match(name)

    def exceeded(self, used: Usage, added: Usage) -> str:
        """Say which limit `added` would pass, with what is used, "" for none."""
        for what, limit, had, more in (
            ("bytes", self.bytes_max, used.bytes, added.bytes),
            ("images", self.images_max, used.images, added.images),
        ):
            if limit and more and had + more > limit:
                return f"it has {had} {what} of {limit}, and {more} would be added"
        return ""

    @cached_property
    def _patterns(self) -> Patterns:
        return Patterns(self.repositories)
