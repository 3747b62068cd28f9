"""Places: where upstream's redirects ended, so that a resumed blob need not ask the registry again.

Source of truth: nothing; a place may be forgotten at any time. Holds signed URLs: never printed, never persisted. Pure.
"""

from collections import OrderedDict

from yarl import URL

from mirror.oci.digest import Digest
from mirror.upstream.limits import SIGNED_URL_S_MAX, SIGNED_URLS_MAX


class Places:
    """The places of recently asked blobs, by repository and digest: another repository may not be open to us."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, Digest], tuple[URL, float]] = OrderedDict()

    def find(self, name: str, digest: Digest, now: float) -> URL | None:
        url, found_at = self._known.get((name, digest), (None, 0.0))
        if url is None or now - found_at < SIGNED_URL_S_MAX:
            return url
        self.forget(name, digest)
        return None

    def remember(self, name: str, digest: Digest, url: URL, now: float) -> None:
        self._known[name, digest] = url, now
        self._known.move_to_end((name, digest))
        if len(self._known) > SIGNED_URLS_MAX:
            self._known.popitem(last=False)

    def forget(self, name: str, digest: Digest) -> None:
        self._known.pop((name, digest), None)
