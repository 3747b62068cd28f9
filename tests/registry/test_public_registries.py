"""Public registries and their aliases."""

import asyncio
import re
from pathlib import Path

import msgspec
from ecr_calls import ecr_calls

from mirror.oci.names import Registry
from mirror.registry.public_registries import ALIAS, Alias, PublicRegistries
from mirror.store.documents import Edit

ONE, TWO = Registry("111111111111", public=True), Registry("222222222222", public=True)


async def test_a_registry_gets_one_alias_however_many_ask_and_keeps_it(tmp_path: Path) -> None:
    """ECR.md 2.10: eight lower-case alphanumerics, made once; images are pulled by it."""
    async with ecr_calls(tmp_path / "data") as ecr:
        aliases = await asyncio.gather(*(ecr.public.ensure(ONE) for _ in range(5)), ecr.public.ensure(TWO))
        assert len({*aliases[:5]}) == 1
        assert aliases[5] != aliases[0]
        assert all(re.fullmatch("[a-z][a-z0-9]{7}", alias) for alias in aliases)
    async with ecr_calls(tmp_path / "data") as ecr:
        assert await ecr.public.ensure(ONE) == aliases[0]
        assert ecr.public.find(aliases[5]) == TWO


async def test_only_an_active_alias_is_followed_and_the_primary_one_is_shown(tmp_path: Path) -> None:
    """ECR.md 2.10: PENDING and REJECTED ones are not followed; any ACTIVE one resolves."""
    async with ecr_calls(tmp_path / "data") as ecr:
        documents = ecr.store.documents
        made = {
            "aaa": Alias("ACTIVE", primary=False, default=True),
            "bbb": Alias("ACTIVE", primary=True, default=False),
            "ccc": Alias("PENDING", primary=False, default=False),
            "ddd": Alias("REJECTED", primary=False, default=False),
        }
        registries = PublicRegistries(documents)
        assert registries.find("aaa") is None
        await documents.write([Edit(ONE, ALIAS, name, msgspec.json.encode(alias)) for name, alias in made.items()])
        assert [registries.find(name) for name in made] == [ONE, ONE, None, None]
        assert registries.alias(ONE) == "bbb"
        assert registries.aliases(ONE) == list(made.items())


async def test_an_account_is_a_name_of_its_registry(tmp_path: Path) -> None:
    """ECR.md 2.10: an account id or alias."""
    async with ecr_calls(tmp_path / "data") as ecr:
        assert ecr.public.find(ONE.account) == ONE
        assert ecr.public.alias(ONE) is None
        assert ecr.public.find("11111111111") is None
