"""The secrets of upstreams: put and listed, never shown again."""

from collections.abc import Mapping
from typing import Any, Final

from mirror.aws.errors import InvalidParameter
from mirror.oci.names import Registry
from mirror.registry.secrets import Secrets
from mirror.web.administration.asks import DeleteSecret, ListSecrets, PutSecret
from mirror.web.administration.desk import Verbs

SECRET_CHARS_MAX: Final = 4_096  # an access token of the largest registries has some 3,000


class SecretDesk:
    """Answers `/secrets`."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def verbs(self) -> Verbs:
        return {PutSecret: self._put, ListSecrets: self._list, DeleteSecret: self._delete}

    async def _put(self, account: str, ask: PutSecret) -> Mapping[str, Any]:
        if not ask.username or not ask.password:
            raise InvalidParameter("A secret has a user name and a password")
        if max(len(ask.username), len(ask.password)) > SECRET_CHARS_MAX:
            raise InvalidParameter(f"A user name or password has at most {SECRET_CHARS_MAX} characters")
        await self._secrets.put(Registry(account), ask.name, ask.username, ask.password)
        return self._card(Registry(account), ask.name)

    async def _list(self, account: str, _: ListSecrets) -> Mapping[str, Any]:
        registry = Registry(account)
        return {"secrets": [self._card(registry, name) for name in self._secrets.list(registry)]}

    def _card(self, registry: Registry, name: str) -> Mapping[str, Any]:
        """Show a secret by what may be told of it; the ARN is what a rule's credentialArn takes."""
        card = self._secrets.describe(registry, name)
        return {"name": card.name, "arn": card.arn, "changedAt": card.changed_at}

    async def _delete(self, account: str, ask: DeleteSecret) -> Mapping[str, Any]:
        await self._secrets.delete(Registry(account), ask.name)
        return {}
