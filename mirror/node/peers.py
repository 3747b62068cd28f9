"""The nodes of other regions, as places where lost bytes may be."""

from collections.abc import Sequence
from typing import Final

from mirror import __version__
from mirror.config.settings import Settings
from mirror.upstream.peer import PeerRule, open_peer_pull
from mirror.upstream.peer_pull import PeerPull

AGENT: Final = f"mirror/{__version__}"


class Peers:
    """The ways to all `[[region]]` tables. Nobody is called before bytes are lost."""

    def __init__(self, settings: Settings) -> None:
        own, region = settings.registry.account, settings.registry.region
        self._ways: list[tuple[str, PeerPull]] = []
        for way in settings.regions:
            account = way.account or own
            rule = PeerRule(way.name, way.url, way.access_key, way.secret_file, way.ca_file)
            self._ways.append((account, open_peer_pull(rule, account, region, user_agent=AGENT)))

    def of(self, account: str) -> Sequence[PeerPull]:
        """Return those that images of an account go to."""
        return [pull for owner, pull in self._ways if owner == account]

    async def close(self) -> None:
        for _, pull in self._ways:
            await pull.close()
