"""Administration: what the machine's operator asks of the node, over a socket that nobody else can open.

The AWS APIs as they are, called by an account's root without a signature; and what AWS's registry APIs do not have: the
desks' operations. What is refused is refused in the form of the JSON API.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, Protocol

import msgspec
import orjson
from aiohttp import web

from mirror import telemetry
from mirror.aws.arns import user_arn
from mirror.aws.errors import NoSuchEntity
from mirror.aws.principals import Principal, root_of
from mirror.oci.errors import RegistryError, RequestInvalid
from mirror.oci.names import Registry
from mirror.registry.audit import Audit
from mirror.registry.identities.identities import Identities
from mirror.web.admin_socket import check_peer
from mirror.web.administration.asks import CALLED, DECODERS, Ask, read_ask
from mirror.web.administration.desk import Desk, Verbs, check_account
from mirror.web.aws.bodies import Bodies, by_size
from mirror.web.aws.json11 import CONTENT_TYPE, refuse
from mirror.web.aws.reception import USER_AGENT_CHARS_MAX, failure
from mirror.web.gate import read_target
from mirror.web.heads import last_headers

ACCOUNT_HEADER: Final = "X-Mirror-Account"
BODY_BYTES_MAX: Final = 64 * 1024  # names, and passwords of 128 characters


class Api(Protocol):
    """One of the AWS protocols."""

    async def handle(self, request: web.BaseRequest, principal: Principal | None = None) -> web.StreamResponse: ...


class Administration:
    """Answers the node's own socket."""

    def __init__(
        self,
        json: Api,
        query: Api,
        identities: Identities,
        desks: Iterable[Desk],
        audit: Audit,
        bodies: Bodies,
    ) -> None:
        self._json = json
        self._query = query
        self._identities = identities
        self._audit = audit
        self._bodies = bodies
        self._verbs: Verbs = {ask: verb for desk in desks for ask, verb in desk.verbs().items()}

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; says no to everybody but this user and root."""
        with telemetry.identified(request.headers.get(telemetry.REQUEST_ID, "")) as request_id:
            response = await self._respond(request, request_id)
        if not request.content.is_eof():
            response.force_close()  # an unread body must not be read as the next request
        return response

    async def _respond(self, request: web.BaseRequest, request_id: str) -> web.StreamResponse:
        try:
            decoder = _admit(request)
            account = self._account(request)
            if decoder is None:
                api = self._json if "X-Amz-Target" in request.headers else self._query
                return await api.handle(request, root_of(account))
            return await self._answer(request, decoder, account, request_id)
        except RegistryError as error:
            return refuse(error, request_id)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - logged, and answered as every fault of our own
            return refuse(failure(error, request.path), request_id)

    def _account(self, request: web.BaseRequest) -> str:
        """Return whose root it is that asks: the node's own account unless another one is named."""
        account = request.headers.get(ACCOUNT_HEADER, self._identities.accounts.default)
        check_account(account)
        if request.path != "/accounts" and not self._identities.accounts.exists(account):
            raise NoSuchEntity(f"There is no account {account}: mirror iam create-account {account} makes it")
        return account

    async def _answer(
        self, request: web.BaseRequest, decoder: msgspec.json.Decoder[Ask], account: str, request_id: str
    ) -> web.StreamResponse:
        async with self._bodies.reading(request, BODY_BYTES_MAX) as body:
            ask = await by_size(body, partial(read_ask, decoder))
        try:
            answer = await self._verbs[type(ask)](account, ask)
        except RegistryError as error:
            self._note(request, account, ask, request_id, error)
            raise
        self._note(request, account, ask, request_id, None)
        if not isinstance(answer, Mapping):
            return await answer.send(request)
        headers = [("Content-Type", CONTENT_TYPE), ("x-amzn-RequestId", request_id), *last_headers()]
        return web.Response(body=orjson.dumps(answer), headers=headers)

    def _note(
        self, request: web.BaseRequest, account: str, ask: Ask, request_id: str, error: RegistryError | None
    ) -> None:
        service, event_name = CALLED.get(type(ask), ("", ""))
        if not service:
            return
        parameters = msgspec.structs.asdict(ask)
        self._audit.note(
            event_name=event_name,
            principal=root_of(account),
            registry=Registry(account),
            source_ip=request.remote or "",
            user_agent=request.headers.get("User-Agent", "")[:USER_AGENT_CHARS_MAX],
            request_id=request_id,
            parameters=parameters,
            error=error,
            resources=[self._user_arn(account, parameters["user"])] if "user" in parameters else [],
            read_only=False,
            service=service,
        )

    def _user_arn(self, account: str, name: str) -> str:
        user = self._identities.find_user(account, name)
        return user_arn(account, user.path if user is not None else "/", name)


def _admit(request: web.BaseRequest) -> msgspec.json.Decoder[Ask] | None:
    """Return what reads the request's body; None for a call of the AWS APIs. Raises Denied, RequestInvalid."""
    check_peer(request.transport)
    path, _ = read_target(request)
    if request.method != "POST" or path not in ("/", *DECODERS):
        raise RequestInvalid(f"{request.method[:20]} {path[:100]} is not of administration")
    return DECODERS.get(path)
