"""AWS JSON 1.1: the protocol of ECR and ECR Public.

Source: ECR.md 3.1; smithy.io, "AWS JSON 1.1 protocol". The operation is in X-Amz-Target. Times are numbers, blobs
base64, and what is absent is left out: strict SDKs take neither text nor null for them.
"""

import base64
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from mirror import telemetry
from mirror.aws.errors import InvalidLayerPart, SerializationFailed, UnknownOperation
from mirror.aws.principals import Principal
from mirror.oci.errors import RegistryError
from mirror.oci.manifest import MANIFEST_BYTES_MAX
from mirror.web.aws.bodies import by_size
from mirror.web.aws.claim import check_scope, read_authorization
from mirror.web.aws.models import Operation
from mirror.web.aws.reception import Caller, Reception, failure
from mirror.web.heads import Headers, last_headers
from mirror.web.refusals import VALUE_CHARS_MAX

PUBLIC_REGIONS: Final = ("us-east-1", "us-west-2")  # where AWS has ECR Public: what its clients sign for
CONTENT_TYPE: Final = "application/x-amz-json-1.1"
PART_BYTES_MAX: Final = 20_971_520  # the model's maximum of LayerPartBlob
ENVELOPE_BYTES: Final = 64 * 1024  # what else stands in a request
BODY_BYTES_MAX: Final = 1024 * 1024  # most inputs are a few names; the largest policy has 30 KiB
CATALOG_BYTES_MAX: Final = 2 * 1024 * 1024  # a logo of 512,000 bytes in base64, texts of 51,200 characters as escapes
BODIES_BYTES_MAX: Final[Mapping[str, int]] = {
    "UploadLayerPart": (PART_BYTES_MAX + 2) // 3 * 4 + ENVELOPE_BYTES,  # base64
    "PutImage": 2 * MANIFEST_BYTES_MAX + ENVELOPE_BYTES,  # SDKs write a character of three bytes as six
    "CreateRepository": CATALOG_BYTES_MAX,
    "PutRepositoryCatalogData": CATALOG_BYTES_MAX,
}


class JsonApi:
    """Answers `POST /` with an X-Amz-Target."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def handle(self, request: web.BaseRequest, principal: Principal | None = None) -> web.StreamResponse:
        """Answer a call; `principal` is one who needs no signature. Says no in the protocol's own form."""
        request_id = telemetry.request_id()
        target = request.headers.get("X-Amz-Target", "")
        try:
            output = await self._answer(request, target, request_id, principal)
            body = orjson.dumps(drop_absent(output))
        except RegistryError as error:
            return refuse(error, request_id)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and answered as every fault of our own
            return refuse(failure(error, target), request_id)
        return _response(200, body, request_id)

    async def _answer(
        self, request: web.BaseRequest, target: str, request_id: str, principal: Principal | None
    ) -> Mapping[str, Any]:
        operation = self._reception.models.find_target(target)
        if operation is None:
            raise UnknownOperation("")
        caller = await self._caller(request, operation, principal)
        size_max = BODIES_BYTES_MAX.get(operation.name, BODY_BYTES_MAX)
        async with self._reception.receive(request, caller, size_max) as body:
            values = await by_size(body, _decode)
            return await self._reception.answer(request, caller, operation, request_id, values)

    async def _caller(self, request: web.BaseRequest, operation: Operation, principal: Principal | None) -> Caller:
        if principal is not None:
            return self._reception.trusted(principal)
        claim = read_authorization(request.headers)
        regions = self._reception.regions
        check_scope(
            claim, operation.service, (*regions, *PUBLIC_REGIONS) if operation.service == "ecr-public" else regions
        )
        return await self._reception.identify(request, claim)


def drop_absent(value: Any) -> Any:
    """Return `value` without the members that are None, at any depth, and with blobs in base64."""
    if isinstance(value, Mapping):
        return {name: drop_absent(member) for name, member in value.items() if member is not None}
    if isinstance(value, list | tuple):
        return [drop_absent(member) for member in value if member is not None]
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def refuse(error: RegistryError, request_id: str) -> web.Response:
    """Write a refusal: its type, its message, and what members the model gives it."""
    said: dict[str, Any] = {"__type": error.aws}
    if not isinstance(error, UnknownOperation):
        said["message"] = error.message[:VALUE_CHARS_MAX]
    if isinstance(error, InvalidLayerPart) and isinstance(error.detail, Mapping):
        said |= drop_absent(error.detail)
    return _response(error.aws_status, orjson.dumps(said), request_id, [("x-amzn-ErrorType", error.aws)])


def _decode(body: bytes) -> object:
    """Read an input; no body at all is an empty one. Raises SerializationFailed."""
    try:
        return orjson.loads(body) if body else {}
    except orjson.JSONDecodeError:
        raise SerializationFailed("The request body is not JSON") from None


def _response(status: int, body: bytes, request_id: str, more: Headers | None = None) -> web.Response:
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", CONTENT_TYPE), *(more or []), *last_headers()]
    return web.Response(body=body, status=status, headers=headers)
