"""Layers by the API, of both services: are they there, and how they are uploaded in parts.

Source: ECR API reference; ECR.md 1.3, "Layer upload, JSON API", and 5 items 10 and 11.
"""

from collections.abc import Mapping
from typing import Any, Final

from mirror.aws.errors import constraint
from mirror.oci.digest import Digest, parse_digest
from mirror.oci.errors import DigestInvalid
from mirror.registry.layers import PART_BYTES, Layer, Session
from mirror.registry.layers import Layers as RegistryLayers
from mirror.web.aws.call import Call, Handler, Service
from mirror.web.ecr.subjects import Subject, Subjects


class Layers:
    """The handlers of the four operations on layers that both services have."""

    def __init__(self, service: Service, subjects: Subjects, layers: RegistryLayers) -> None:
        self._service = service
        self._subjects = subjects
        self._layers = layers

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            (self._service, "BatchCheckLayerAvailability"): self.batch_check_layer_availability,
            (self._service, "InitiateLayerUpload"): self.initiate_layer_upload,
            (self._service, "UploadLayerPart"): self.upload_layer_part,
            (self._service, "CompleteLayerUpload"): self.complete_layer_upload,
        }

    async def batch_check_layer_availability(self, call: Call) -> dict[str, Any]:
        """Say of each layer whether this repository has it; one that it has not is no failure."""
        subject = self._subjects.of(call)
        digests: list[Digest] = []
        failures: list[dict[str, Any]] = []
        for text in dict.fromkeys(call.input["layerDigests"]):
            try:
                digests.append(parse_digest(text))
            except DigestInvalid:
                failures.append(_failure(text))
        found = await self._layers.find_all(subject.repository, digests)
        return {"layers": [_availability(digest, found.get(digest)) for digest in digests], "failures": failures}

    async def initiate_layer_upload(self, call: Call) -> dict[str, Any]:
        """Open an upload."""
        return {"uploadId": await self._layers.start(self._subjects.of(call).repository), "partSize": PART_BYTES}

    async def upload_layer_part(self, call: Call) -> dict[str, Any]:
        """Take the next part."""
        subject = self._subjects.of(call)
        first, last = call.input["partFirstByte"], call.input["partLastByte"]
        await self._layers.put_part(_session(subject, call), first, last, call.input["layerPartBlob"])
        return {**subject.shape, "uploadId": call.input["uploadId"], "lastByteReceived": last}

    async def complete_layer_upload(self, call: Call) -> dict[str, Any]:
        """Make an upload a layer."""
        subject = self._subjects.of(call)
        digest = _read_digest(call.input["layerDigests"])
        await self._layers.complete(_session(subject, call), digest)
        return {**subject.shape, "uploadId": call.input["uploadId"], "layerDigest": str(digest)}


def _availability(digest: Digest, layer: Layer | None) -> dict[str, Any]:
    if layer is None:
        return {"layerDigest": str(digest), "layerAvailability": "UNAVAILABLE"}
    return {
        "layerDigest": str(digest),
        "layerAvailability": "ARCHIVED" if layer.archived else "AVAILABLE",
        "layerSize": layer.size,
        "mediaType": layer.media_type or None,
    }


def _session(subject: Subject, call: Call) -> Session:
    return Session(subject.repository, subject.name, call.input["uploadId"])


def _failure(digest: str) -> dict[str, Any]:
    """Write a LayerFailure for text that is no digest, or is none at all."""
    code, reason = ("InvalidLayerDigest", f"Invalid layer digest '{digest}'") if digest else _MISSING
    return {"layerDigest": digest, "failureCode": code, "failureReason": reason}


_MISSING: Final = ("MissingLayerDigest", "Missing layer digest")


def _read_digest(digests: list[str]) -> Digest:
    """Read the digest of a layer: the API takes a list and means one."""
    if len(set(digests)) != 1:
        raise constraint("layerDigests", "Member must have length less than or equal to 1")
    try:
        return parse_digest(digests[0])
    except DigestInvalid as error:
        raise constraint("layerDigests", error.message) from None
