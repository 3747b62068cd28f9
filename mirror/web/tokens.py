"""The token endpoint: `/token/`, where clients change a login for a bearer token.

Source: distribution "Token Authentication Specification" and "OAuth2 Token Authentication"; ECR.md 3.4 and CLIENTS
section 2, "Auth": `docker login` sends no scope, containerd several and POSTs a form first. Of a registry with `login =
"token"` a token grants what policies allow of what was asked for; a public one's says who asks, and policies decide.
"""

import base64
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from mirror.oci.errors import NotFound, QueryInvalid, RegistryError, SizeInvalid, Unauthorized
from mirror.oci.names import parse_name
from mirror.registry.identities.callers import Caller, Scope
from mirror.registry.identities.tokens import BEARER_S_MAX, Tokens
from mirror.rules.hosts import Place
from mirror.web.access_log import CALLER
from mirror.web.admission import Admission
from mirror.web.callers import NOBODY, Callers
from mirror.web.challenges import Challenges
from mirror.web.distribution import answer
from mirror.web.gate import check_method, circumstances, read_target, read_values
from mirror.web.heads import Headers
from mirror.web.send import read_body
from mirror.web.slow import SlowClock

FORM_BYTES_MAX: Final = 32 * 1024  # a login of 4 KiB and some scopes
FORM_FIELDS_MAX: Final = 64
SCOPES_MAX: Final = 50  # dockerd and containerd ask for three at most
PUBLIC_TOKEN_S: Final = 12 * 3_600.0  # as AWS's: the login's own end comes first


class TokenEndpoint:
    """Gives bearer tokens."""

    def __init__(
        self, admission: Admission, callers: Callers, tokens: Tokens, challenges: Challenges, slow: SlowClock
    ) -> None:
        self._admission = admission
        self._callers = callers
        self._tokens = tokens
        self._challenges = challenges
        self._slow = slow

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer GET, or POST of a form. Raises NotFound where no token is ever asked for, Unauthorized."""
        place = self._admission.place(request.headers.get("Host", ""))
        if place.login != "token":
            raise NotFound("this registry has no token endpoint: it takes Basic credentials")
        check_method(request.method, ("GET", "POST"), "tokens")
        if request.method == "GET":
            query = read_target(request)[1]
            return await self._give(
                request, place, request.headers.get("Authorization", ""), read_values(query, "scope")
            )
        form = await self._form(request)
        if form.get("grant_type", [""])[0] != "password":
            raise self._refusal(place, "a grant_type of password is taken, no refresh token")
        return await self._give(request, place, _basic(form), form.get("scope", []))

    async def _give(
        self, request: web.BaseRequest, place: Place, credential: str, scopes: Sequence[str]
    ) -> web.StreamResponse:
        now = time.time()
        try:
            caller = await self._callers.login(credential, place, now) if credential else NOBODY
        except Unauthorized as error:
            raise self._refusal(place, error.message) from None
        request[CALLER] = caller.principal
        access = None if place.public else self._granted(request, place, caller, scopes)
        life_s = PUBLIC_TOKEN_S if place.public else BEARER_S_MAX
        issued = self._tokens.issue_bearer(caller.principal, caller.credential, place.service, access, now, life_s)
        said = {
            "token": issued.text,
            "access_token": issued.text,
            "expires_in": max(1, int(issued.expires_at - now)),
            "issued_at": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        no_store: Headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        return answer(200, no_store, orjson.dumps(said))

    def _granted(
        self, request: web.BaseRequest, place: Place, caller: Caller, asked: Sequence[str]
    ) -> tuple[Scope, ...]:
        """Return what policies allow of the scopes that were asked for, several in one text or in many."""
        texts = [text for scope in asked for text in scope.split(" ") if text]
        if len(texts) > SCOPES_MAX:
            raise QueryInvalid(f"more than {SCOPES_MAX} scopes")
        now = circumstances(request)
        granted = []
        for text in texts:
            kind, _, rest = text.partition(":")
            name, _, actions = rest.rpartition(":")
            if kind != "repository":
                continue  # the catalogue shows what policies let see, with any token
            try:
                allowed = self._admission.granted(place, caller, parse_name(name), actions.split(","), now)
            except RegistryError:
                continue
            granted.append(Scope("repository", name, allowed))
        return tuple(granted)

    def _refusal(self, place: Place, message: str) -> Unauthorized:
        return Unauthorized(
            message, headers={"WWW-Authenticate": f'Basic realm="{self._challenges.address(place)}/token/"'}
        )

    async def _form(self, request: web.BaseRequest) -> dict[str, list[str]]:
        """Read a form. Raises SizeInvalid, QueryInvalid."""
        too_large = SizeInvalid(f"a form of more than {FORM_BYTES_MAX} bytes is not taken")
        body = await read_body(request, self._slow, FORM_BYTES_MAX, too_large)
        try:
            pairs = parse_qsl(body.decode(), max_num_fields=FORM_FIELDS_MAX, errors="strict")
        except ValueError:
            raise QueryInvalid("the form cannot be read") from None
        form: dict[str, list[str]] = {}
        for name, value in pairs:
            form.setdefault(name, []).append(value)
        return form


def _basic(form: dict[str, list[str]]) -> str:
    user, password = form.get("username", [""])[0], form.get("password", [""])[0]
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user or password else ""
