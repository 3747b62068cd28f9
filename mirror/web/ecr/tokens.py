"""GetAuthorizationToken, of both services: what `docker login` takes.

Source: ECR.md 3.2: a list of the private registry, one object of the public one. The token is base64 of `AWS:` and a
password without a colon; it says who asks, and what they may is decided at each request.
"""

import base64
import time
from collections.abc import Mapping
from typing import Any

from mirror.oci.names import Registry
from mirror.registry.identities import Identities, Tokens
from mirror.rules.hosts import Hosts
from mirror.web.aws.call import Call, Handler, Service


class AuthorizationTokens:
    """The handlers of GetAuthorizationToken."""

    def __init__(self, identities: Identities, tokens: Tokens, hosts: Hosts) -> None:
        self._identities = identities
        self._tokens = tokens
        self._hosts = hosts

    def handlers(self) -> Mapping[tuple[Service, str], Handler]:
        return {
            ("ecr", "GetAuthorizationToken"): self.private_token,
            ("ecr-public", "GetAuthorizationToken"): self.public_token,
        }

    async def private_token(self, call: Call) -> dict[str, Any]:
        """Give a token for each registry that is asked for, or for the caller's own."""
        accounts = dict.fromkeys(call.input.get("registryIds", [call.principal.account]))
        data = self._issue(call, "ecr")
        return {
            "authorizationData": [
                {**data, "proxyEndpoint": self._hosts.endpoint(Registry(account))} for account in accounts
            ]
        }

    async def public_token(self, call: Call) -> dict[str, Any]:
        """Give a token for all public registries."""
        return {"authorizationData": self._issue(call, "ecr-public")}

    def _issue(self, call: Call, audience: Service) -> dict[str, Any]:
        credential = self._identities.credential(call.key_id)
        issued = self._tokens.issue_login(call.principal, credential, audience, time.time())
        token = base64.b64encode(f"AWS:{issued.text}".encode()).decode()
        return {"authorizationToken": token, "expiresAt": issued.expires_at}
