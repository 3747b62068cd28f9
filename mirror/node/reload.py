"""Reload: what SIGHUP takes up from the configuration and the files that it names, and what it leaves to a restart.

A configuration with a fault changes nothing, and the log says why. What is under way goes on.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, get_args

from mirror import telemetry
from mirror.config import ConfigInvalid, Settings
from mirror.node.assembly import House
from mirror.node.certificate import renew
from mirror.node.identities import declare
from mirror.node.notify import Notifier
from mirror.oci.errors import RegistryError
from mirror.telemetry import LogLevel
from mirror.web.access_log import AccessLog

RELOADED: Final = frozenset({"server.tls", "server.drain_s", "log.level", "log.access", "iam.file"})


class Reload:
    """`settings` are those that hold; `read` reads the operator's anew, and is None where there is no file of them."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings] | None,
        tls: ssl.SSLContext | None,
        notifier: Notifier,
        access: AccessLog,
    ) -> None:
        self.settings = settings
        self._read = read
        self._tls = tls
        self._notifier = notifier
        self._access = access
        self._one_at_a_time = asyncio.Lock()

    async def run(self, house: House, status: str) -> None:
        """Take up what has changed; `status` is what the service manager is told at the end."""
        async with self._one_at_a_time:
            await self._notifier.reloading()
            try:
                await self._take_up_settings()
                if self._tls is not None:
                    await renew(self._tls, self.settings.server.tls)
                await self._declare(house)
                await house.audit.reopen()
            finally:
                await self._notifier.ready(status)

    async def _take_up_settings(self) -> None:
        if self._read is None:
            return
        try:
            new = await asyncio.to_thread(self._read)
        except ConfigInvalid as error:
            for fault in error.faults:
                telemetry.log.error("configuration not reloaded", fault=str(fault))
            return
        changed = set(differences(self.settings, new))
        taken = changed & RELOADED
        if self._tls is None or not new.server.tls.certificate:
            taken -= {"server.tls"}  # a socket does not turn from one protocol to the other
        levels = (self.settings.log.level, new.log.level)
        self.settings = merged(self.settings, new, taken)
        self._access.enabled = self.settings.log.access
        # Told at the more talkative of the two levels: whoever has just changed it looks for this line.
        telemetry.change_level(min(levels, key=get_args(LogLevel).index))
        say = telemetry.log.warning if changed - taken else telemetry.log.info
        say("configuration reloaded", changed=sorted(taken), need_restart=sorted(changed - taken))
        telemetry.change_level(self.settings.log.level)

    async def _declare(self, house: House) -> None:
        try:
            await declare(self.settings, house.known)
        except ConfigInvalid as error:
            for fault in error.faults:
                telemetry.log.error("iam file not reloaded", fault=str(fault))
        except RegistryError as error:
            telemetry.log.error("iam file not reloaded", fault=str(error))


def differences(old: Settings, new: Settings) -> Iterator[str]:
    """Name the settings that differ, as `table.key`, and lists of tables by their name, as the file has them."""
    for field in fields(Settings):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if is_dataclass(before):
            keys = (key.name for key in fields(before))
            yield from (f"{field.name}.{key}" for key in keys if getattr(before, key) != getattr(after, key))
        else:
            yield field.name.removesuffix("s")


def merged(old: Settings, new: Settings, taken: set[str]) -> Settings:
    """Return `old` with what `taken` names from `new`."""
    tables: dict[str, Any] = {}
    for name in sorted(taken):
        table, _, key = name.partition(".")
        before = tables.get(table, getattr(old, table))
        tables[table] = replace(before, **{key: getattr(getattr(new, table), key)})
    return replace(old, **tables)
