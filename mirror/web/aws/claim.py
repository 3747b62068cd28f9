"""A claim: who a request says has signed it, when and for what. Nothing of it is proved yet.

Source: AWS General Reference, "Elements of an AWS API request signature"; texts as AWS says them. Two forms: the
Authorization header, and the query of a presigned URL. Pure.
"""

import base64
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from multidict import MultiMapping

from mirror.aws.errors import IncompleteSignature, InvalidSignature, MissingAuthenticationToken
from mirror.web.gate import read_query

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
PRESIGNED_S_MAX: Final = 604_800  # AWS: a presigned URL is good for seven days at most
_BASIC: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_NEEDED: Final = ("Credential", "Signature", "SignedHeaders")
_PRESIGNED: Final = ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Expires")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says. `time` is as the client wrote it in ISO 8601, `at` the same in unix seconds.

    `valid_s` is how long a presigned URL says to be good for; None for a request with an Authorization header.
    """

    key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    time: str
    at: float
    token: str = ""
    valid_s: int | None = None


def read_authorization(headers: MultiMapping[str], query: str = "") -> Claim:
    """Read who signed, from the Authorization header or, where `query` is given, from a presigned URL's query.

    Raises MissingAuthenticationToken, IncompleteSignature, QueryInvalid, and InvalidSignature for a terminator or a
    date that does not fit.
    """
    values = headers.getall("Authorization", [])
    if values:
        return _read_header(", ".join(values), headers)
    fields = read_query(query)
    if "X-Amz-Algorithm" in fields:
        return _read_presigned(fields)
    raise MissingAuthenticationToken


def check_scope(claim: Claim, service: str, regions: Collection[str] | None) -> None:
    """Raise InvalidSignature unless the claim is for `service` in one of `regions` (None: in any)."""
    if not claim.region or (regions is not None and claim.region not in regions):
        raise InvalidSignature("Credential should be scoped to a valid region.")
    if claim.service != service:
        raise InvalidSignature(f"Credential should be scoped to correct service: '{service}'.")


def _read_header(text: str, headers: MultiMapping[str]) -> Claim:
    algorithm, _, rest = text.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{algorithm[:40]}'.")
    parts = _read_parts(rest, text)
    time = _header_time(headers)
    missing = [f"Authorization header requires '{name}' parameter." for name in _NEEDED if not parts.get(name)]
    if time is None:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing or time is None:
        raise IncompleteSignature(f"{' '.join(missing)} {_hashed('Authorization', text)}")
    key_id, date, region, service = _read_credential(parts["Credential"])
    return _dated(
        Claim(
            key_id,
            date,
            region,
            service,
            tuple(parts["SignedHeaders"].split(";")),
            parts["Signature"],
            *time,
            token=headers.get("X-Amz-Security-Token", ""),
        )
    )


def _read_presigned(fields: Mapping[str, str]) -> Claim:
    if fields["X-Amz-Algorithm"] != ALGORITHM:
        raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{fields['X-Amz-Algorithm'][:40]}'.")
    missing = [f"AWS query-string parameters must include '{name}'." for name in _PRESIGNED if not fields.get(name)]
    if missing:
        raise IncompleteSignature(f"{' '.join(missing)} Re-examine the query-string parameters.")
    expires = fields["X-Amz-Expires"]
    if not re.fullmatch("[0-9]{1,6}", expires) or not 0 < int(expires) <= PRESIGNED_S_MAX:
        raise IncompleteSignature("X-Amz-Expires must be a number of seconds between 1 and 604800.")
    key_id, date, region, service = _read_credential(fields["X-Amz-Credential"])
    return _dated(
        Claim(
            key_id,
            date,
            region,
            service,
            tuple(fields["X-Amz-SignedHeaders"].split(";")),
            fields["X-Amz-Signature"],
            *_read_time(fields["X-Amz-Date"]),
            token=fields.get("X-Amz-Security-Token", ""),
            valid_s=int(expires),
        )
    )


def _read_parts(rest: str, text: str) -> dict[str, str]:
    """Read `Credential=..., SignedHeaders=..., Signature=...`, in any order, with or without spaces."""
    parts: dict[str, str] = {}
    for part in rest.split(","):
        name, equal, value = part.strip().partition("=")
        if not equal or name in parts:
            problem = "Duplicate parameter" if equal else "Invalid key=value pair (missing equal-sign)"
            raise IncompleteSignature(f"{problem} in Authorization header {_hashed('', text)}")
        parts[name] = value
    return parts


def _read_credential(text: str) -> tuple[str, str, str, str]:
    elements = text.split("/")
    if len(elements) != 5 or not elements[0]:
        raise IncompleteSignature(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got "
            f"'{text[:100]}'."
        )
    key_id, date, region, service, terminator = elements
    if terminator != TERMINATOR:
        raise InvalidSignature(
            f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator[:40]}'."
        )
    return key_id, date, region, service


def _dated(claim: Claim) -> Claim:
    """Return a claim whose scope is of the day that it was signed. Raises InvalidSignature."""
    if claim.date != claim.time[:8]:
        raise InvalidSignature(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.date[:20]}' != '{claim.time[:8]}', from '{claim.time}'."
        )
    return claim


def _header_time(headers: MultiMapping[str]) -> tuple[str, float] | None:
    """Read when the request says to be signed: X-Amz-Date goes before Date."""
    values = headers.getall("X-Amz-Date", []) or headers.getall("Date", [])
    return _read_time(", ".join(values)) if values else None


def _read_time(text: str) -> tuple[str, float]:
    """Read ISO 8601's basic format, or that of HTTP, which only a Date header has."""
    try:
        at = datetime.fromisoformat(text) if _BASIC.fullmatch(text) else parsedate_to_datetime(text)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        raise IncompleteSignature(
            f"Date must be in ISO-8601 'basic format'. Got '{text[:40]}'. See http://en.wikipedia.org/wiki/ISO_8601"
        ) from None
    return iso(at.timestamp()), at.timestamp()


def iso(at: float) -> str:
    """Print unix seconds as signatures do."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")


def _hashed(name: str, text: str) -> str:
    """Name a header's value without saying it: it is logged and answered."""
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()).decode()
    said = f"(Hashed with SHA-256 and encoded with Base64) {name}=" if name else ""
    return f"{said}{digest}" if name else f"(hashed with SHA-256 and encoded with Base64): '{digest}'."
