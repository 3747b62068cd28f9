"""Administration: what the machine's operator asks of the node, over a socket that nobody else can open.

The AWS APIs as they are, called by an account's root without a signature; and what AWS's registry APIs do not have:
accounts, the secrets of upstreams, passwords that are set whether or not there was one, and runs that are asked for: of
lifecycle policies, replications, syncs, checks of the store. What is refused is refused in the form of the JSON API.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

import msgspec
import orjson
from aiohttp import web

from mirror.aws.arns import ACCOUNT, user_arn
from mirror.aws.errors import InvalidParameter, NoSuchEntity
from mirror.aws.principals import Principal, root_of
from mirror.oci.errors import RegistryError, RequestInvalid
from mirror.oci.names import Registry
from mirror.registry.audit import Audit
from mirror.registry.backfills import Backfills
from mirror.registry.checkups import Checkups
from mirror.registry.expiry import Expiry
from mirror.registry.identities.identities import Identities
from mirror.registry.repositories import Repositories
from mirror.registry.secrets import Secrets
from mirror.registry.syncing import Syncs
from mirror.store.replications import NO_LAG, Place, Replications, Shipment
from mirror.web.admin_socket import check_peer
from mirror.web.administration_asks import (
    CALLED,
    DECODERS,
    Ask,
    Backfill,
    CreateAccount,
    DeleteSecret,
    Expire,
    ListAccounts,
    ListReplications,
    ListSecrets,
    ListSyncs,
    PutSecret,
    RemovePassword,
    SetPassword,
    Verify,
    read_ask,
)
from mirror.web.aws.bodies import Bodies, by_size
from mirror.web.aws.json11 import CONTENT_TYPE, refuse
from mirror.web.aws.reception import USER_AGENT_CHARS_MAX, failure, new_request_id
from mirror.web.checkups import send_checkup
from mirror.web.expiry import expired
from mirror.web.gate import read_target
from mirror.web.heads import last_headers
from mirror.web.syncing import status_of, stream_of

ACCOUNT_HEADER: Final = "X-Mirror-Account"
BODY_BYTES_MAX: Final = 64 * 1024  # names, and passwords of 128 characters
REFUSED_MAX: Final = 100  # refused images in one answer
SECRET_CHARS_MAX: Final = 4_096  # an access token of the largest registries has some 3,000


class Api(Protocol):
    """One of the AWS protocols."""

    async def handle(self, request: web.BaseRequest, principal: Principal | None = None) -> web.StreamResponse: ...


@dataclass(frozen=True, slots=True)
class Affairs:
    """What there is to administer besides the AWS APIs."""

    identities: Identities
    secrets: Secrets
    replications: Replications
    backfills: Backfills
    syncs: Syncs
    repositories: Repositories
    expiry: Expiry
    checkups: Checkups


class Administration:
    """Answers the node's own socket."""

    def __init__(
        self,
        json: Api,
        query: Api,
        affairs: Affairs,
        audit: Audit,
        bodies: Bodies,
    ) -> None:
        self._json = json
        self._query = query
        self._identities = affairs.identities
        self._secrets = affairs.secrets
        self._replications = affairs.replications
        self._backfills = affairs.backfills
        self._syncs = affairs.syncs
        self._repositories = affairs.repositories
        self._expiry = affairs.expiry
        self._checkups = affairs.checkups
        self._audit = audit
        self._bodies = bodies
        self._verbs: Mapping[type[Ask], Callable[[str, Any], Awaitable[Mapping[str, Any]]]] = {
            PutSecret: self._put_secret,
            ListSecrets: self._list_secrets,
            DeleteSecret: self._delete_secret,
            SetPassword: self._set_password,
            RemovePassword: self._remove_password,
            CreateAccount: self._create_account,
            ListAccounts: self._list_accounts,
            ListReplications: self._list_replications,
            Backfill: self._backfill,
            ListSyncs: self._list_syncs,
            Expire: self._expire,
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; says no to everybody but this user and root."""
        response = await self._respond(request)
        if not request.content.is_eof():
            response.force_close()  # an unread body must not be read as the next request
        return response

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = new_request_id()
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
        _check_account(account)
        if request.path != "/accounts" and not self._identities.accounts.exists(account):
            raise NoSuchEntity(f"There is no account {account}: mirror iam create-account {account} makes it")
        return account

    async def _answer(
        self, request: web.BaseRequest, decoder: msgspec.json.Decoder[Ask], account: str, request_id: str
    ) -> web.StreamResponse:
        async with self._bodies.reading(request, BODY_BYTES_MAX) as body:
            ask = await by_size(body, partial(read_ask, decoder))
        stream = stream_of(self._syncs, ask)
        if stream is not None:
            return await stream.send(request)
        if isinstance(ask, Verify):
            return await send_checkup(request, self._checkups.begin(repair=ask.repair))
        try:
            answer = await self._verbs[type(ask)](account, ask)
        except RegistryError as error:
            self._note(request, account, ask, request_id, error)
            raise
        self._note(request, account, ask, request_id, None)
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

    # The verbs.

    async def _put_secret(self, account: str, ask: PutSecret) -> Mapping[str, Any]:
        if not ask.username or not ask.password:
            raise InvalidParameter("A secret has a user name and a password")
        if max(len(ask.username), len(ask.password)) > SECRET_CHARS_MAX:
            raise InvalidParameter(f"A user name or password has at most {SECRET_CHARS_MAX} characters")
        await self._secrets.put(Registry(account), ask.name, ask.username, ask.password)
        return self._card(Registry(account), ask.name)

    async def _list_secrets(self, account: str, _: ListSecrets) -> Mapping[str, Any]:
        registry = Registry(account)
        return {"secrets": [self._card(registry, name) for name in self._secrets.list(registry)]}

    def _card(self, registry: Registry, name: str) -> Mapping[str, Any]:
        """Show a secret by what may be told of it; the ARN is what a rule's credentialArn takes."""
        card = self._secrets.describe(registry, name)
        return {"name": card.name, "arn": card.arn, "changedAt": card.changed_at}

    async def _delete_secret(self, account: str, ask: DeleteSecret) -> Mapping[str, Any]:
        await self._secrets.delete(Registry(account), ask.name)
        return {}

    async def _set_password(self, account: str, ask: SetPassword) -> Mapping[str, Any]:
        logins, now = self._identities.logins, time.time()
        is_first = self._identities.holders.user(account, ask.user).password is None
        change = logins.create if is_first else logins.update
        await change(account, ask.user, ask.password, now)
        return {"user": ask.user, "first": is_first}

    async def _remove_password(self, account: str, ask: RemovePassword) -> Mapping[str, Any]:
        await self._identities.logins.delete(account, ask.user)
        return {}

    async def _create_account(self, _: str, ask: CreateAccount) -> Mapping[str, Any]:
        _check_account(ask.account)
        made = await self._identities.accounts.create(ask.account, time.time())
        return {"account": ask.account, "made": made}

    async def _list_accounts(self, _: str, __: ListAccounts) -> Mapping[str, Any]:
        accounts = self._identities.accounts
        return {"accounts": [{"account": one, "alias": accounts.alias(one)} for one in accounts.all()]}

    async def _list_replications(self, _: str, __: ListReplications) -> Mapping[str, Any]:
        """Say of each place how far it is behind, and which images it refuses. Of all accounts: a line is shared."""
        places = []
        lags = await self._replications.lags()
        for place, arrived in (await self._replications.arrived()).items():
            lag = lags.get(place, NO_LAG)
            places.append(
                {
                    "region": place.region,
                    "account": place.account,
                    "complete": arrived,
                    "waiting": lag.waiting,
                    "failed": lag.failed,
                    "oldestAt": lag.oldest_at,
                }
            )
        refused = [_refused(one) for one in await self._replications.refused(REFUSED_MAX)]
        return {"places": places, "refused": refused}

    async def _backfill(self, account: str, ask: Backfill) -> Mapping[str, Any]:
        """Have what is here already go to a destination of the configuration."""
        return {"images": await self._backfills.ask_all(Registry(account), Place(ask.destination, ""))}

    async def _list_syncs(self, _: str, __: ListSyncs) -> Mapping[str, Any]:
        return status_of(self._syncs)

    async def _expire(self, account: str, ask: Expire) -> Mapping[str, Any]:
        return await expired(self._expiry, self._repositories.get(Registry(account), ask.repository), dry=ask.dry)


def _refused(one: Shipment) -> Mapping[str, Any]:
    order = one.order
    return {
        "region": order.place.region,
        "account": order.place.account,
        "source": order.repository.registry.account,
        "repository": order.repository.name,
        "digest": str(order.digest) if order.digest else "",
        "tag": order.tag,
        "failure": one.failure,
        "reason": one.reason,
        "tries": one.tries,
    }


def _admit(request: web.BaseRequest) -> msgspec.json.Decoder[Ask] | None:
    """Return what reads the request's body; None for a call of the AWS APIs. Raises Denied, RequestInvalid."""
    check_peer(request.transport)
    path, _ = read_target(request)
    if request.method != "POST" or path not in ("/", *DECODERS):
        raise RequestInvalid(f"{request.method[:20]} {path[:100]} is not of administration")
    return DECODERS.get(path)


def _check_account(text: str) -> None:
    if not ACCOUNT.fullmatch(text):
        raise InvalidParameter(f"An account is twelve digits, not {text[:40]!r}")
