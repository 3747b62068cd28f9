"""Failed connections in the registry's words: what went wrong, which error that is, how often it is worth a try.

Source: RELIABILITY section 4. A table, read from the top: aiohttp's later classes are bases of its earlier ones. Pure.
"""

import ssl
from collections.abc import Sequence
from typing import Final

import aiohttp

from mirror.oci.errors import UpstreamError, UpstreamUnavailable
from mirror.upstream.addresses import AddressForbidden
from mirror.upstream.limits import CONNECT_TRIES, RETRIES

_ALL_TRIES: Final = RETRIES + 1
_FAILURES: Final[Sequence[tuple[type[Exception], type[UpstreamError], int, str]]] = (
    (aiohttp.ClientConnectorCertificateError, UpstreamError, 1, "its TLS certificate is not valid: {cause}"),
    (aiohttp.ClientSSLError, UpstreamError, 1, "TLS failed"),
    (ssl.SSLError, UpstreamError, 1, "TLS failed: {cause}"),
    (aiohttp.ClientConnectorDNSError, UpstreamUnavailable, CONNECT_TRIES, "the name cannot be resolved"),
    (aiohttp.ClientConnectorError, UpstreamUnavailable, CONNECT_TRIES, "cannot connect: {cause}"),
    (aiohttp.ServerTimeoutError, UpstreamUnavailable, CONNECT_TRIES, "no connection in time"),
    (aiohttp.ServerDisconnectedError, UpstreamError, _ALL_TRIES, "the connection broke before an answer"),
    (OSError, UpstreamError, _ALL_TRIES, "the connection broke before an answer"),
    (Exception, UpstreamError, 1, "the answer is not valid HTTP"),
)


def read_failure(error: Exception, at: str) -> tuple[UpstreamError, int]:
    """Return what to raise for a request to `at` that failed with `error`, and how often it is tried in all."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressForbidden):
        return UpstreamError(f"{at}: {error.os_error}"), 1
    kind, tries, words = next(row[1:] for row in _FAILURES if isinstance(error, row[0]))
    return kind(f"{at}: {words.format(cause=_cause(error))}"), tries


def _cause(error: Exception) -> str:
    """Return the system's short reason; never the whole text, which may carry a URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "not verified"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or type(error.os_error).__name__
    return type(error).__name__
