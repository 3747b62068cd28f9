"""The limits of talking to other people's machines: each with its unit and its reason.

Source: issue section "Pull-through", RELIABILITY section 4. Read by every module of this floor; nothing here acts.
"""

from dataclasses import dataclass
from typing import Final

from mirror.oci.manifest import MANIFEST_BYTES_MAX

CONNECT_S: Final = 3.0  # a handshake across an ocean takes half a second; three seconds is a host that is not there
HEADERS_S: Final = 10.0  # token, redirects and retries included: clients give a mirror no longer before they hang
STALL_S: Final = 30.0  # a mobile link may pause this long and come back
STALL_BYTES_S_MIN: Final = 1024  # slower than this over STALL_S and a resume on a new connection is the better bet
LISTING_S: Final = 30.0  # all pages of a list together: a hundred pages at a third of a second each
RETRIES: Final = 2  # after a 5xx or a dropped connection; more only adds load to a machine in trouble
CONNECT_TRIES: Final = 2  # two of CONNECT_S fit into HEADERS_S
RETRY_PAUSE_S: Final = 0.2  # doubled each time, half of it jitter
assert CONNECT_S * CONNECT_TRIES < HEADERS_S

CONNECTIONS_PER_HOST: Final = 64  # what public registries bear from one client without calling it abuse
BODIES_MAX: Final = 48  # blob bodies at once; the rest of the pool stays free for manifests and tokens
assert BODIES_MAX < CONNECTIONS_PER_HOST
CONNECTIONS_MAX: Final = 128  # per pool, over all hosts: file descriptors are shared with our own clients
KEEPALIVE_S: Final = 30.0  # shorter than the 60 s of common load balancers: they, not we, would close under a request
DNS_CACHE_S: Final = 10  # content networks move their addresses within a minute
READ_BUFFER_BYTES: Final = 256 * 1024  # of one body; aiohttp holds at most twice that before it stops reading

REDIRECTS_MAX: Final = 5
LOCATION_CHARS_MAX: Final = 8190  # aiohttp refuses longer header lines already
SIGNED_URLS_MAX: Final = 1_000  # remembered places of blobs: 2 KB each
SIGNED_URL_S_MAX: Final = 600.0  # content networks sign for ten to twenty minutes

SMALL_BYTES_MAX: Final = MANIFEST_BYTES_MAX  # manifests, referrers, one page of tags
LIST_PAGES_MAX: Final = 100
LIST_BYTES_MAX: Final = 16 * 1024 * 1024  # over all pages: 100,000 tags of 128 characters, with their quotes
TAGS_MAX: Final = 100_000
TAGS_PER_PAGE: Final = 1_000  # the page size that Docker Hub, Quay and distribution all allow
NAMES_MAX: Final = 100_000  # repositories of one registry
NAMES_PER_PAGE: Final = 1_000  # distribution refuses more unless it is set to allow them

TOKEN_BYTES_MAX: Final = 64 * 1024  # the token endpoint's whole answer; real ones are 1 to 5 KB
TOKENS_MAX: Final = 1_000  # kept tokens: one for each repository in use
PASSWORD_BYTES_MAX: Final = 16 * 1024  # cloud registries hand out passwords of 2 to 4 KB


@dataclass(frozen=True, slots=True)
class Limits:
    """The clocks, in seconds, that a test needs shorter. Production uses the values above."""

    connect_s: float = CONNECT_S
    headers_s: float = HEADERS_S
    stall_s: float = STALL_S
    stall_bytes_s_min: int = STALL_BYTES_S_MIN
    listing_s: float = LISTING_S
    retry_pause_s: float = RETRY_PAUSE_S
