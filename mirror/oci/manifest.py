"""Manifests: what a pushed or fetched manifest says about other bytes.

Source: OCI image-spec v1.1, manifest.md, image-index.md, descriptor.md; Docker manifest v2 schema 2. The bytes are kept
as they came; this reads them once, strictly where Go clients and Python would read different things (RELIABILITY
finding 7: Go folds the case of keys and takes the last duplicate). Pure.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from mirror.oci import media
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid, ManifestInvalid, ManifestTooLarge

MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024  # distribution-spec: a registry should take 4 MiB
CHILDREN_MAX: Final = 10_000  # far above any real image; bounds the rows that one manifest can make
SIZE_BYTES_MAX: Final = 2**63 - 1
MEDIA_TYPE_CHARS_MAX: Final = 255  # image-spec follows RFC 6838: type and subtype of 127 each

_MANIFEST_KEYS: Final = (
    *("schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations"),
    *("blobs", "fsLayers"),
)
_DESCRIPTOR_KEYS: Final = ("mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")  # an escape of one half


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to bytes: what they are, their name, how many (bytes)."""

    media_type: str
    digest: Digest
    size: int
    platform: str = ""  # "os/architecture[/variant]" in an index, else ""
    foreign: bool = False  # lives elsewhere by design: the registry need not have it


@dataclass(frozen=True, slots=True)
class Manifest:
    """A read manifest. `blobs` are config and layers, `manifests` the children of an index; order as written."""

    media_type: str
    blobs: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def needed(self) -> tuple[Descriptor, ...]:
        """The blobs without which this manifest cannot be pulled."""
        return tuple(blob for blob in self.blobs if not blob.foreign)


def parse_manifest(data: bytes, content_type: str = "") -> Manifest:
    """Read manifest bytes that came with `content_type` (parameters ignored; "" = none was given).

    The media type is the content type's, which must not contradict the body's own `mediaType`. Unknown media types are
    read by their fields. Raises ManifestTooLarge and ManifestInvalid.
    """
    if len(data) > MANIFEST_BYTES_MAX:
        raise ManifestTooLarge(f"manifest of {len(data)} bytes: at most {MANIFEST_BYTES_MAX} are taken")
    body = _read_json(data)
    _check_keys(body, _MANIFEST_KEYS, "manifest")
    media_type = _media_type(body, content_type)
    if _list(body, "layers") and _list(body, "manifests"):
        raise ManifestInvalid("a manifest with both layers and manifests means different things to different clients")
    if media_type in media.IMAGES and "manifests" in body:
        raise ManifestInvalid(f"{media_type} must not have manifests")
    if media_type in media.INDEXES and ("layers" in body or "config" in body):
        raise ManifestInvalid(f"{media_type} must not have layers or config")
    config = _optional_descriptor(body, "config")
    blobs = [*([config] if config else []), *_descriptors(body, "layers"), *_descriptors(body, "blobs")]
    return Manifest(
        media_type=media_type,
        blobs=tuple(blobs),
        manifests=tuple(_descriptors(body, "manifests")),
        subject=_optional_descriptor(body, "subject"),
        artifact_type=_text(body, "artifactType") or (config.media_type if config else ""),
        annotations=_annotations(body),
    )


def _read_json(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ManifestInvalid(f"manifest is not JSON: {error}") from None
    if _SURROGATE.search(data):
        # RFC 8259 section 8.2: half a character is text that nobody can write down again.
        try:
            json.dumps(body, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ManifestInvalid("manifest has half of a surrogate pair in a text") from None
    if not isinstance(body, dict):
        raise ManifestInvalid("manifest is not a JSON object")
    return body


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, _ in pairs if sum(1 for other, _ in pairs if other == key) > 1)
        raise ManifestInvalid(f"manifest has the key {twice!r} twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ManifestInvalid(f"manifest has {name}, which is not JSON")


def _check_keys(body: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Refuse keys that a Go client would fold onto a known one (image-spec keys are case-sensitive)."""
    folded = {key.casefold(): key for key in known}
    for key in body:
        meant = folded.get(key.casefold())
        if meant is not None and meant != key:
            raise ManifestInvalid(f"{where} has the key {key!r}, which some clients read as {meant!r}")


def _media_type(body: Mapping[str, Any], content_type: str) -> str:
    said = content_type.split(";", 1)[0].strip()
    own = _text(body, "mediaType")
    if said and own and said != own:
        raise ManifestInvalid(f"Content-Type is {said!r} but the manifest's mediaType is {own!r}")
    media_type = said or own
    if not media_type:
        raise ManifestInvalid("neither a Content-Type nor a mediaType says what this manifest is")
    if len(media_type) > MEDIA_TYPE_CHARS_MAX or not media_type.isascii() or not media_type.isprintable():
        raise ManifestInvalid(f"media type {media_type[:100]!r} is not one of RFC 6838")
    return media_type


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ManifestInvalid(f"{key} is not a string")
    return value


def _list(body: Mapping[str, Any], key: str) -> list[Any]:
    value = body.get(key)
    if value is None:  # Go writes an empty list as null
        return []
    if not isinstance(value, list):
        raise ManifestInvalid(f"{key} is not a list")
    if len(value) > CHILDREN_MAX:
        raise ManifestInvalid(f"{key} has {len(value)} entries: at most {CHILDREN_MAX} are taken")
    return value


def _descriptors(body: Mapping[str, Any], key: str) -> list[Descriptor]:
    return [_descriptor(item, f"{key}[{number}]") for number, item in enumerate(_list(body, key))]


def _optional_descriptor(body: Mapping[str, Any], key: str) -> Descriptor | None:
    item = body.get(key)
    return None if item is None else _descriptor(item, key)


def _descriptor(item: object, where: str) -> Descriptor:
    if not isinstance(item, dict):
        raise ManifestInvalid(f"{where} is not an object")
    _check_keys(item, _DESCRIPTOR_KEYS, where)
    size = item.get("size")
    if type(size) is not int or not 0 <= size <= SIZE_BYTES_MAX:
        raise ManifestInvalid(f"{where}.size is not a count of bytes")
    try:
        digest = parse_digest(_text(item, "digest"))
    except DigestInvalid as error:
        raise ManifestInvalid(f"{where}.digest: {error.message}") from None
    media_type = _text(item, "mediaType")
    return Descriptor(media_type, digest, size, _platform(item), media.foreign(media_type) or bool(item.get("urls")))


def _platform(item: Mapping[str, Any]) -> str:
    platform = item.get("platform")
    if not isinstance(platform, dict):
        return ""
    parts = [platform.get(key) for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if isinstance(part, str) and part)


def _annotations(body: Mapping[str, Any]) -> dict[str, str]:
    found = body.get("annotations")
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}
