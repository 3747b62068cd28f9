"""Signature version 4: proof that who claims to have signed a request knows the secret key.

Source: AWS General Reference, "Create a signed AWS API request"; ECR.md 3.1. What counts is what arrived: the Host
header with its port, the raw query, the digest of the body itself (never one that a header names, so there are no
unsigned payloads). Pure; `now` is an argument.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from multidict import MultiMapping

from mirror.aws.errors import IncompleteSignature, InvalidSignature, UnrecognizedClient
from mirror.web.aws.claim import ALGORITHM, TERMINATOR, Claim, iso

SKEW_S_MAX: Final = 300.0  # AWS: clocks may differ by five minutes
SKEW_TEXT: Final = "5 min."
_MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
_MUST_BE_SIGNED: Final = ("x-amz-target", "x-amz-security-token", "x-amz-content-sha256")  # where they are sent
_NOBODY: Final = "no secret of anybody"  # signs for keys that are not known, so that those take as long


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature is over. `path` and `query` are raw, `body_digest` is the sha256 of the body in hex."""

    method: str
    path: str
    query: str
    headers: MultiMapping[str]
    body_digest: str


def verify(claim: Claim, signed: Signed, secret: str | None, now: float) -> None:
    """Prove a claim; `secret` is None where nobody has the key.

    Raises InvalidSignature, IncompleteSignature, and UnrecognizedClient for a key that nobody has.
    """
    _check_headers(claim, signed.headers)
    _check_time(claim, now)
    expected = sign(claim, signed, secret or _NOBODY)
    same = hmac.compare_digest(expected.encode(), claim.signature.encode("utf-8", "surrogateescape"))
    if not secret:
        raise UnrecognizedClient
    if not same:
        raise InvalidSignature(_MISMATCH)


def sign(claim: Claim, signed: Signed, secret: str) -> str:
    """Compute the signature, in hex, of the request that `claim` is about."""
    scope = f"{claim.date}/{claim.region}/{claim.service}/{TERMINATOR}"
    request = hashlib.sha256(_encoded(canonical(claim, signed))).hexdigest()
    key = _encoded(f"AWS4{secret}")
    for part in (claim.date, claim.region, claim.service, TERMINATOR):
        key = hmac.digest(key, _encoded(part), "sha256")
    return hmac.digest(key, _encoded(f"{ALGORITHM}\n{claim.time}\n{scope}\n{request}"), "sha256").hex()


def canonical(claim: Claim, signed: Signed) -> str:
    """Write a request as it is signed. Dot segments stay: the APIs have one path, `/`."""
    headers = [f"{name}:{_header(signed.headers, name)}" for name in claim.signed_headers]
    return "\n".join(
        [
            signed.method,
            quote(signed.path, safe="/~"),
            _canonical_query(signed.query),
            *headers,
            "",
            ";".join(claim.signed_headers),
            signed.body_digest,
        ]
    )


def _canonical_query(query: str) -> str:
    """Encode again what a client encoded in its own way, without the signature itself, and sort it."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    encoded = sorted((_requoted(name), _requoted(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")


def _requoted(text: str) -> str:
    # By bytes: unquoted to text, all that is not UTF-8 would look the same.
    return quote(unquote_to_bytes(_encoded(text)), safe="-_.~")


def _header(headers: MultiMapping[str], name: str) -> str:
    return ",".join(" ".join(value.split()) for value in headers.getall(name, []))


def _check_headers(claim: Claim, headers: MultiMapping[str]) -> None:
    """Insist that what gives a request its meaning is signed."""
    names = claim.signed_headers
    if "host" not in names:
        raise InvalidSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    needed = [name for name in _MUST_BE_SIGNED if name in headers]
    if claim.valid_s is None:
        needed.append("x-amz-date" if "x-amz-date" in headers else "date")
    for name in needed:
        if name not in names:
            raise InvalidSignature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
    if len(set(names)) != len(names):
        raise IncompleteSignature("SignedHeaders names a header twice.")


def _check_time(claim: Claim, now: float) -> None:
    """Insist that the request was signed about now; AWS tells both clocks, which is what a user needs to know."""
    if claim.at > now + SKEW_S_MAX:
        raise InvalidSignature(
            f"Signature not yet current: {claim.time} is still later than {iso(now + SKEW_S_MAX)} "
            f"({iso(now)} + {SKEW_TEXT})"
        )
    if claim.valid_s is not None:
        if now >= claim.at + claim.valid_s:
            raise InvalidSignature(f"Signature expired: {iso(claim.at + claim.valid_s)} is now earlier than {iso(now)}")
    elif claim.at < now - SKEW_S_MAX:
        raise InvalidSignature(
            f"Signature expired: {claim.time} is now earlier than {iso(now - SKEW_S_MAX)} ({iso(now)} - {SKEW_TEXT})"
        )


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # as the server read what was no UTF-8
