"""Manifests as an upstream tells them: checked for being what was asked, kept as they came.

Source: distribution-spec 1.1, "Pulling manifests"; RELIABILITY A5 and A6: the digest that was asked is the only
authority, and a `Docker-Content-Digest` that disagrees with its own bytes makes the answer worthless. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.errors import DigestInvalid, UpstreamError
from mirror.oci.names import Reference


@dataclass(frozen=True, slots=True)
class ManifestHead:
    """What a HEAD told: any of it may be missing (None, ""), for upstream need not tell."""

    digest: Digest | None
    media_type: str
    size: int | None


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest's own bytes and the Content-Type they came with ("" for none).

    `digest` is the one asked for, or else the one that upstream named; the bytes agree with it. None: none was named.
    """

    data: bytes
    media_type: str
    digest: Digest | None


def read_head(headers: Mapping[str, str], size: int | None, reference: Reference) -> ManifestHead:
    """Read the headers of a manifest. Raises UpstreamError when they speak of something else."""
    named = _named_digest(headers)
    if isinstance(reference, Digest) and named not in (None, reference) and _comparable(named, reference):
        raise UpstreamError(f"upstream names the manifest {reference} as {named}")
    return ManifestHead(named, _media_type(headers), size)


def read_manifest(headers: Mapping[str, str], data: bytes, reference: Reference) -> FetchedManifest:
    """Check a manifest's bytes. Raises UpstreamError for other bytes than asked or named, or for none."""
    media_type = _media_type(headers)
    if not data.lstrip(b" \t\r\n").startswith(b"{"):
        raise UpstreamError("upstream answered something that is no manifest")
    digest = reference if isinstance(reference, Digest) else _named_digest(headers)
    if digest is not None and digest_of(data, digest.algorithm) != digest:
        raise UpstreamError(f"upstream sent bytes that are not {digest}")
    return FetchedManifest(data, media_type, digest)


def _named_digest(headers: Mapping[str, str]) -> Digest | None:
    """Return the digest that upstream names; one that nobody can read counts as none."""
    try:
        return parse_digest(headers.get("Docker-Content-Digest", ""))
    except DigestInvalid:
        return None


def _comparable(named: Digest | None, asked: Digest) -> bool:
    return named is not None and named.algorithm == asked.algorithm


def _media_type(headers: Mapping[str, str]) -> str:
    media_type = headers.get("Content-Type", "").split(";", 1)[0].strip()
    if media_type.lower().startswith("text/"):
        # A log-in page or a proxy's apology, with a 200 on it.
        raise UpstreamError(f"upstream answered {media_type[:100]} where a manifest was asked")
    return media_type
