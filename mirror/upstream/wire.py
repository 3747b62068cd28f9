"""One request to another machine, sent patiently: retries with jitter, and failures in the registry's words.

Only idempotent reads pass here, so sending one again is harmless. Source: RELIABILITY section 4. Never sends a
credential that it was not given for this very URL, never puts a URL's query into a message: it may be signed.
"""

import asyncio
import random
import time
from typing import Final

import aiohttp
from yarl import URL

from mirror import telemetry
from mirror.oci.errors import UpstreamError, UpstreamUnavailable
from mirror.upstream.failures import read_failure
from mirror.upstream.health import Health
from mirror.upstream.limits import RETRIES, Limits
from mirror.upstream.sessions import Sessions

_RETRIED: Final = frozenset({500, 502, 503, 504})


class Wire:
    """Sends the requests of one upstream and keeps its health."""

    def __init__(self, sessions: Sessions, health: Health, clocks: Limits) -> None:
        self._sessions = sessions
        self._health = health
        self._clocks = clocks

    def is_home(self, url: URL) -> bool:
        """Say whether `url` is at the configured registry: same scheme, host and port."""
        return self._sessions.is_home(url)

    async def send(
        self, method: str, url: URL, headers: dict[str, str], *, realm: bool = False
    ) -> aiohttp.ClientResponse:
        """Return the answer to one request, never a 5xx or 429. Raises UpstreamError and UpstreamUnavailable.

        The registry and its token `realm` decide about the upstream's health; a place it redirects to does not.
        """
        vital = realm or self.is_home(url)
        for attempt in range(1, RETRIES + 2):
            outcome = await self._once(method, url, headers, vital=vital)
            if isinstance(outcome, aiohttp.ClientResponse):
                return outcome
            failure, tries = outcome
            if attempt >= tries:
                break
            await asyncio.sleep(self._pause_s(attempt))
        if vital:
            self._health.failed(failure.message)
        raise failure

    async def _once(
        self, method: str, url: URL, headers: dict[str, str], *, vital: bool
    ) -> aiohttp.ClientResponse | tuple[UpstreamError, int]:
        """Return an answer, or a failure and how often such a one is tried. Raises UpstreamUnavailable for "wait"."""
        with telemetry.span("upstream call", upstream=self._health.upstream, method=method, host=url.host) as span:
            outcome = await self._answered(method, url, headers, vital=vital)
            if isinstance(outcome, aiohttp.ClientResponse):
                span.note(status=outcome.status)
            else:
                span.failed(outcome[0].message)
            return outcome

    async def _answered(
        self, method: str, url: URL, headers: dict[str, str], *, vital: bool
    ) -> aiohttp.ClientResponse | tuple[UpstreamError, int]:
        began_at = time.monotonic()
        try:
            response = await self._sessions.request(method, url, headers)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            telemetry.asked(self._health.upstream, 0)
            return read_failure(error, self._at(url))
        telemetry.asked(self._health.upstream, response.status)
        telemetry.UPSTREAM_ANSWER.labels(self._health.upstream).observe(time.monotonic() - began_at)
        if self.is_home(url):
            self._health.answered(response)
        if response.status == 429 or (response.status == 503 and "Retry-After" in response.headers):
            response.release()
            if vital:
                raise self._health.throttled(response)
            raise UpstreamUnavailable(f"{self._at(url)} answered {response.status}: too many requests")
        if response.status in _RETRIED:
            response.release()
            return UpstreamError(f"{self._at(url)} answered {response.status}"), RETRIES + 1
        return response

    def _pause_s(self, attempt: int) -> float:
        jitter: float = random.uniform(0.5, 1.0)  # noqa: S311 - it spreads load and guards nothing
        return self._clocks.retry_pause_s * 2.0 ** (attempt - 1) * jitter

    def _at(self, url: URL) -> str:
        return f"upstream {self._health.upstream} ({url.host}:{url.port})"
