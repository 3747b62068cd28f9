"""Signing as clients do, by botocore's own signer: for tests that write their requests by hand."""

from collections.abc import Mapping
from datetime import UTC, datetime

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def signed(
    method: str,
    url: str,
    body: bytes,
    service: str,
    region: str,
    key: str,
    secret: str,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    at: float | None = None,
) -> dict[str, str]:
    """Return `headers` with the signature's; `at` is when it was signed, in unix seconds, now unless told."""
    auth = SigV4Auth(Credentials(key, secret, token), service, region)
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    if at is None:
        auth.add_auth(request)
    else:
        # add_auth by its parts: it would ask for the time.
        request.context["timestamp"] = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
        auth._modify_request_before_signing(request)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        auth._inject_signature_to_request(request, auth.signature(text, request))
    return dict(request.headers.items())


def presigned(url: str, service: str, region: str, key: str, secret: str, *, token: str | None = None) -> str:
    """Return a URL that is good for a minute for whoever has it."""
    request = AWSRequest(method="GET", url=url)
    SigV4QueryAuth(Credentials(key, secret, token), service, region, expires=60).add_auth(request)
    return str(request.url)
