"""The AWS Query protocol: that of IAM and STS.

Source: smithy.io, "AWS Query protocol"; IAM and STS API references, "Common Errors". A form names the action; the
answer is XML. The service is told by the scope of the signature. STS also takes presigned URLs: the usual proof of an
identity to a third party, who only has to fetch one.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final, get_args

from aiohttp import web

from mirror import telemetry
from mirror.aws.errors import UnknownOperation
from mirror.aws.principals import Principal
from mirror.oci.errors import RegistryError
from mirror.web.aws import markup
from mirror.web.aws.bodies import by_size
from mirror.web.aws.call import Service
from mirror.web.aws.claim import Claim, check_scope, read_authorization
from mirror.web.aws.forms import decode, read_fields
from mirror.web.aws.models import Operation
from mirror.web.aws.reception import Caller, Reception, failure
from mirror.web.gate import read_target
from mirror.web.heads import last_headers
from mirror.web.refusals import VALUE_CHARS_MAX

BODY_BYTES_MAX: Final = 1024 * 1024  # a policy of 131,072 characters, each of which a form may write as three
QUERY_SERVICES: Final[tuple[Service, ...]] = ("iam", "sts")
assert set(QUERY_SERVICES) < set(get_args(Service))

# How IAM and STS call what the JSON APIs call otherwise, and their statuses.
_CODES: Final[Mapping[str, tuple[str, int]]] = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidParameterException": ("InvalidInput", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "RequestEntityTooLargeException": ("RequestEntityTooLarge", 413),
    "SerializationException": ("MalformedInput", 400),
    "ServerException": ("InternalFailure", 500),
    "ThrottlingException": ("Throttling", 400),
    "UnknownOperationException": ("InvalidAction", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "UnsupportedCommandException": ("UnsupportedOperation", 400),
    "ValidationException": ("ValidationError", 400),
}


class QueryApi:
    """Answers `POST /` with a form, and `GET /?Action=...` of presigned URLs."""

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def handle(self, request: web.BaseRequest, principal: Principal | None = None) -> web.StreamResponse:
        """Answer a call; `principal` is one who needs no signature. Says no in the protocol's own form."""
        request_id = telemetry.request_id()
        try:
            return await self._answer(request, request_id, principal)
        except RegistryError as error:
            return self._refuse(error, request_id)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and answered as every fault of our own
            return self._refuse(failure(error, "query"), request_id)

    async def _answer(self, request: web.BaseRequest, request_id: str, principal: Principal | None) -> web.Response:
        _, query = read_target(request)
        caller = await self._caller(request, query, principal)
        async with self._reception.receive(request, caller, BODY_BYTES_MAX) as body:
            fields = await by_size(body, partial(read_fields, query))
            operation = self._operation(fields, caller.claim)
            values = decode(operation.model.input_shape, fields)
            output = await self._reception.answer(request, caller, operation, request_id, values)
        namespace = self._reception.models.namespace(operation.service)
        return _response(200, markup.answer(operation.model, namespace, output, request_id), request_id)

    async def _caller(self, request: web.BaseRequest, query: str, principal: Principal | None) -> Caller:
        if principal is not None:
            return self._reception.trusted(principal)
        claim = read_authorization(request.headers, query)
        service = "sts" if claim.valid_s is not None or claim.service not in QUERY_SERVICES else claim.service
        check_scope(claim, service, None)
        return await self._reception.identify(request, claim)

    def _operation(self, fields: Mapping[str, str], claim: Claim | None) -> Operation:
        """Find the action, in the service that was signed for; the API's version must be that service's."""
        models = self._reception.models
        action, version = fields.get("Action", ""), fields.get("Version", "")
        for service in QUERY_SERVICES:
            if version == models.version(service) and (claim is None or claim.service == service):
                operation = models.find(service, action)
                if operation is not None:
                    return operation
        raise UnknownOperation(f"Could not find operation {action[:100]} for version {version[:20]}")

    def _refuse(self, error: RegistryError, request_id: str) -> web.Response:
        code, status = _CODES.get(error.aws, (error.aws, error.aws_status))
        namespace = self._reception.models.namespace("iam")
        body = markup.refusal(namespace, status, code, error.message[:VALUE_CHARS_MAX], request_id)
        return _response(status, body, request_id)


def _response(status: int, body: bytes, request_id: str) -> web.Response:
    headers = [("x-amzn-RequestId", request_id), ("Content-Type", markup.CONTENT_TYPE), *last_headers()]
    return web.Response(body=body, status=status, headers=headers)
