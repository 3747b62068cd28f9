"""Couriers: what carries images to registries elsewhere, as far as they are not there.

Source: ECR.md 2.4; issue section "Transfer". The other side is asked first; children go before parents, a blob is
mounted where that side has it, and a referrer goes with its subject. Digests are the same at both ends, always.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import orjson

from mirror.oci import media
from mirror.oci.digest import Digest, digest_of, parse_digest
from mirror.oci.errors import RegistryError, UpstreamDenied, UpstreamTimeout, UpstreamUnavailable
from mirror.oci.manifest import Manifest
from mirror.oci.names import Repository
from mirror.registry.carriers import Gone, Refused, Trouble
from mirror.registry.manifests import NESTING_MAX, Manifests, read_manifest
from mirror.registry.prefetch import is_wanted
from mirror.rules.destinations import DestinationRule
from mirror.store.catalog import Catalog
from mirror.store.files import Files
from mirror.store.index import Index
from mirror.store.replications import Order
from mirror.upstream.push import PushClient

REFERRERS_MAX: Final = 1_000  # of one image, and theirs: more is no set of signatures
COSIGN_TAGS: Final = (".sig", ".att", ".sbom")  # what follows `sha256-<hex>` in tags that say what they are about
_ABOUT: Final = re.compile(r"(sha256|sha512)-([0-9a-f]{64,128})(?:\.[a-z0-9]{1,16})?")


def subject_of(tag: str) -> Digest | None:
    """Return which image a tag says it is about; None of a tag that says nothing of the kind.

    Source: distribution-spec 1.1, "Referrers Tag Schema"; cosign, "Signature Specification".
    """
    match = _ABOUT.fullmatch(tag)
    try:
        return parse_digest(f"{match[1]}:{match[2]}") if match is not None else None
    except RegistryError:
        return None


class Courier:
    """Brings images to one registry."""

    def __init__(self, client: PushClient, files: Files, index: Index, manifests: Manifests) -> None:
        self.client = client
        self._files = files
        self._index = index
        self._manifests = manifests

    async def put(
        self, source: Repository, name: str, digest: Digest, tag: str, platforms: tuple[str, ...] = ()
    ) -> None:
        """Bring an image: nothing where it is there, else its children, what blobs are missing, and itself last.

        Of an index the children of `platforms`, all where none are named. Raises Gone, UpstreamError, Refused.
        """
        await self._put(source, name, digest, tag, platforms, NESTING_MAX)

    async def _put(
        self, source: Repository, name: str, digest: Digest, tag: str, platforms: tuple[str, ...], depth: int
    ) -> None:
        there = await self.client.head(name, tag or str(digest))
        if there == str(digest):
            return
        data, manifest = await self._read(source, digest)
        # Where a tag means something else the image itself may be there, under another one.
        if there is None or not tag or await self.client.head(name, str(digest)) is None:
            for child in manifest.manifests:
                if depth and (not platforms or is_wanted(child.platform, platforms)):
                    await self._put(source, name, child.digest, "", (), depth - 1)
            for blob in manifest.needed:
                await self._bring(name, blob.digest)
        understood = await self.client.put_manifest(name, digest, data, manifest.media_type, tag)
        if manifest.subject is not None and not understood:
            await self._list_referrer(name, manifest.subject.digest, digest, manifest, len(data))

    async def manifest(self, source: Repository, digest: Digest) -> Manifest:
        """Return a manifest that is here. Raises Gone."""
        return (await self._read(source, digest))[1]

    async def _read(self, source: Repository, digest: Digest) -> tuple[bytes, Manifest]:
        found = await self._manifests.read(source, digest)
        if found is None:
            raise Gone
        member, data = found
        return data, await read_manifest(data, member.media_type)

    async def _bring(self, name: str, digest: Digest) -> None:
        entry = self._index.blob(digest)
        descriptor = self._files.open_blob(digest, entry.size) if entry is not None else None
        if entry is None or descriptor is None:
            # No fault of the place's: it must not be left alone for it.
            raise Refused("LayerInaccessible", f"the bytes of {digest} are not here")
        os.close(descriptor)
        await self.client.bring_blob(name, digest, self._files.path(digest), entry.size)

    async def _list_referrer(self, name: str, subject: Digest, digest: Digest, manifest: Manifest, size: int) -> None:
        """Put a referrer into the list that a registry without the referrers API keeps under a tag."""
        tag = f"{subject.algorithm}-{subject.hex}"
        listed = _listed(await self.client.get_manifest(name, tag))
        if any(one.get("digest") == str(digest) for one in listed):
            return
        entry = {
            "mediaType": manifest.media_type,
            "digest": str(digest),
            "size": size,
            "artifactType": manifest.artifact_type,
            "annotations": dict(manifest.annotations),
        }
        listed.append({key: value for key, value in entry.items() if value})
        index = orjson.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed})
        await self.client.put_manifest(name, digest_of(index, "sha256"), index, media.OCI_INDEX, tag)


def _listed(data: bytes | None) -> list[dict[str, object]]:
    """Read the list of referrers that stands under a tag; what is no list is begun anew."""
    try:
        return [dict(one) for one in orjson.loads(data or b"{}").get("manifests") or []]
    except (ValueError, TypeError, AttributeError):
        return []


@contextmanager
def said_of_place() -> Iterator[None]:
    """Say what another registry's errors mean to an order. Raises Trouble, Refused."""
    try:
        yield
    except (UpstreamUnavailable, UpstreamTimeout) as error:
        raise Trouble(error.message) from None
    except UpstreamDenied as error:
        raise Refused("AccessDenied", error.message) from None
    except RegistryError as error:
        raise Refused(error.aws.removesuffix("Exception"), error.message) from None


class PeerCarrier:
    """Carries images to a registry of another region: another node."""

    def __init__(self, courier: Courier) -> None:
        self._courier = courier

    async def carry_out(self, order: Order) -> None:
        """Do what an order says. Raises Gone, Refused, Trouble."""
        name = order.repository.name
        with said_of_place():
            if order.action == "PUT":
                assert order.digest is not None
                await self._courier.put(order.repository, name, order.digest, order.tag)
            else:
                await self._courier.client.delete(name, order.tag if order.action == "UNTAG" else str(order.digest))


class DestinationCarrier:
    """Carries images to a registry of any kind, with what refers to them, under the names that its rule gives."""

    def __init__(self, courier: Courier, rule: DestinationRule, index: Index, catalog: Catalog) -> None:
        self._courier = courier
        self._rule = rule
        self._index = index
        self._catalog = catalog

    async def carry_out(self, order: Order) -> None:
        """Do what an order says. Raises Gone, Refused, Trouble."""
        source, name = order.repository, self._rule.target(order.repository.name)
        with said_of_place():
            if order.action != "PUT":
                await self._courier.client.delete(name, order.tag if order.action == "UNTAG" else str(order.digest))
                return
            assert order.digest is not None
            if not await self._goes(source, name, order.digest, order.tag):
                raise Gone
            await self._courier.put(source, name, order.digest, order.tag, self._rule.platforms)
            if self._rule.referrers:
                await self._put_referrers(source, name, order.digest)

    async def _goes(self, source: Repository, name: str, digest: Digest, tag: str) -> bool:
        """Tell whether an image goes there: by its tag, or since it is about one that is there."""
        subject = subject_of(tag) if tag else await self._subject(source, digest)
        if subject is None:
            return self._rule.wants(tag) if tag else self._rule.wants_all
        return self._rule.referrers and await self._courier.client.head(name, str(subject)) is not None

    async def _subject(self, source: Repository, digest: Digest) -> Digest | None:
        subject = (await self._courier.manifest(source, digest)).subject
        return subject.digest if subject is not None else None

    async def _put_referrers(self, source: Repository, name: str, digest: Digest) -> None:
        """Bring what refers to an image, to its parts, and to what refers to it."""
        waiting, seen = [digest], {digest}
        while waiting:
            subject = waiting.pop()
            manifest = await self._courier.manifest(source, subject)
            parts = [child.digest for child in manifest.manifests if self._wants(child.platform)]
            referrers = [one.digest for one in await self._catalog.referrers(source, subject)]
            for referrer in referrers:
                await self._courier.put(source, name, referrer, "")
            for suffix in COSIGN_TAGS:
                await self._put_about(source, name, f"{subject.algorithm}-{subject.hex}{suffix}")
            waiting += [one for one in (*parts, *referrers) if one not in seen]
            seen.update(waiting)
            if len(seen) > REFERRERS_MAX:
                raise Refused("LimitExceeded", f"more than {REFERRERS_MAX} manifests refer to {digest}")

    def _wants(self, platform: str) -> bool:
        return not self._rule.platforms or is_wanted(platform, self._rule.platforms)

    async def _put_about(self, source: Repository, name: str, tag: str) -> None:
        found = self._index.tag(source, tag)
        if found is not None:
            await self._courier.put(source, name, found.digest, tag)
