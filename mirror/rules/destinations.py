"""Destinations: registries of any kind that images are pushed to, and what goes there under which name.

Source: issue section "Any registry". The shape is that of `[[destination]]` in the configuration. Pure.
"""

from dataclasses import dataclass
from functools import cached_property

from mirror.rules.patterns import Patterns

WORKERS = 4  # images under way to one place at once, of different repositories


@dataclass(frozen=True)
class DestinationRule:
    """One `[[destination]]`. `account`: whose registry it is a copy of, "" for the node's own."""

    name: str
    url: str
    account: str = ""
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    strip: str = ""
    prefix: str = ""
    platforms: tuple[str, ...] = ()
    referrers: bool = True
    delete: bool = False
    workers: int = WORKERS
    bytes_s_max: int = 0
    windows: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        """Tell whether images of the repository `name` go there."""
        return self._repositories.match(name)

    def wants(self, tag: str) -> bool:
        """Tell whether what has the tag goes there."""
        return self._tags.match(tag)

    @property
    def wants_all(self) -> bool:
        """Tell whether images go there whatever tag they have, and without one."""
        return not self.tags

    def target(self, name: str) -> str:
        """Say how the repository `name` is called there."""
        rest = name.removeprefix(f"{self.strip}/") if self.strip else name
        return f"{self.prefix}/{rest}" if self.prefix else rest

    @cached_property
    def _repositories(self) -> Patterns:
        return Patterns(self.repositories)

    @cached_property
    def _tags(self) -> Patterns:
        return Patterns(self.tags)
