"""Accounts, and passwords that are set whether or not there was one: what IAM has no operation for."""

import time
from collections.abc import Mapping
from typing import Any

from mirror.registry.identities.identities import Identities
from mirror.web.administration.asks import CreateAccount, ListAccounts, RemovePassword, SetPassword
from mirror.web.administration.desk import Verbs, check_account


class PeopleDesk:
    """Answers `/accounts` and `/passwords`."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def verbs(self) -> Verbs:
        return {
            SetPassword: self._set_password,
            RemovePassword: self._remove_password,
            CreateAccount: self._create_account,
            ListAccounts: self._list_accounts,
        }

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
        check_account(ask.account)
        made = await self._identities.accounts.create(ask.account, time.time())
        return {"account": ask.account, "made": made}

    async def _list_accounts(self, _: str, __: ListAccounts) -> Mapping[str, Any]:
        accounts = self._identities.accounts
        return {"accounts": [{"account": one, "alias": accounts.alias(one)} for one in accounts.all()]}
