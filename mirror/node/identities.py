"""Who the node knows at its start: master key, signing keys, the first root key, the file of declared users."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mirror import telemetry
from mirror.config import Settings
from mirror.config.credentials import directory_of
from mirror.config.faults import Fault
from mirror.config.identities import load_identities
from mirror.oci.errors import RegistryError
from mirror.registry.identities.declared import reconcile
from mirror.registry.identities.identities import Identities
from mirror.registry.identities.passwords import Passwords
from mirror.registry.identities.seals import KEY_FILE, SealBroken, Seals, SealsUnusable, open_seals
from mirror.registry.identities.signatures import Signatures
from mirror.registry.identities.signing_keys import SigningKeys
from mirror.registry.identities.tokens import Tokens
from mirror.rules.identities import Declared
from mirror.store.store import Store

ROOT_CREDENTIALS: Final = "root.credentials"  # under the storage root, in the form of ~/.aws/credentials
TOLD_MAX: Final = 50  # names in one line of the log
ROTATE_LOOK_S: Final = 600.0  # how often it is looked whether the signing key is a day old


@dataclass(frozen=True, slots=True)
class Known:
    """Everybody the node knows, and what it signs with."""

    identities: Identities
    passwords: Passwords
    tokens: Tokens
    seals: Seals
    signing_keys: SigningKeys


async def open_identities(settings: Settings, store: Store, *, alone: bool = False) -> Known:
    """Open the keys and read the users. Raises SealsUnusable, ConfigInvalid.

    A node that is `alone` takes users and keys as they are: a command may not have been told of the file.
    """
    seals = await asyncio.to_thread(open_seals, settings.storage.root)
    passwords = Passwords()
    identities = Identities(store.documents, seals, passwords, settings.registry.account)
    keys = SigningKeys(store.documents, seals)
    try:
        keys.load()
    except SealBroken:
        path = settings.storage.root / KEY_FILE
        raise SealsUnusable(
            f"{path} is not the key of this database: put the one in its place that was made with it"
        ) from None
    await _rotate(keys)
    known = Known(identities, passwords, Tokens(Signatures(keys), identities.current), seals, keys)
    if alone:
        return known
    await declare(settings, known)
    credentials = settings.storage.root / ROOT_CREDENTIALS
    key_id = await identities.ensure_root(settings.registry.account, credentials, time.time())
    if key_id is not None:
        telemetry.log.info(
            "root access key made", key_id=key_id, account=settings.registry.account, file=str(credentials)
        )
    return known


async def declare(settings: Settings, known: Known) -> None:
    """Make users, roles and policies be what `[iam] file` says. Raises ConfigInvalid, and then nothing is changed."""
    declared, warnings = Declared(), tuple[Fault, ...]()
    if settings.iam.file:
        declared, warnings = await asyncio.to_thread(load_identities, Path(settings.iam.file), directory_of(os.environ))
    for warning in warnings:
        telemetry.log.warning("iam file", fault=str(warning))
    done = await reconcile(known.identities, known.passwords, declared, time.time())
    if done.written or done.removed:
        counts = {"written": len(done.written), "removed": len(done.removed)}
        told = {"made": done.written[:TOLD_MAX], "gone": done.removed[:TOLD_MAX]}
        telemetry.log.info("iam file read", file=settings.iam.file, **counts, **told)


async def rotate(keys: SigningKeys) -> None:
    """Make a new signing key each day."""
    while True:
        await asyncio.sleep(ROTATE_LOOK_S)
        await _rotate(keys)


async def _rotate(keys: SigningKeys) -> None:
    """Make a new key when it is time. A disk that takes none now puts that off, as long as there is one that signs."""
    try:
        await keys.rotate(time.time())
    except RegistryError as error:
        if not list(keys.accepted):
            raise
        telemetry.log.warning("signing key not renewed", reason=error.message)
