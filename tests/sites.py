"""Nodes of several regions, each a process of its own that can be killed and started again where it was.

west = Site(tmp_path / "west", "us-west-2")
async with west.up(): ...                            # now it has a root key, and keeps it
east = Site(tmp_path / "east", "us-east-1")
async with west.up() as there, east.up(to=west) as here:
    await east.replicate(west)
    await here.kill()
"""

import configparser
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from ports import free_port
from processes import Process, serving
from signing import signed

from mirror.config.settings import ACCOUNT_DEFAULT

# A node with less patience than the product has: a place that was away is asked again in a second, not in a minute.
IMPATIENTLY: Final = (
    "import sys; from mirror.jobs import replication as r; r.PACE = r.Pace(0.1, 0.5, 0.5, 0.1, 0.1);"
    " del sys.argv[1:4]; from mirror.cli import main; main()"
)
IMPATIENT: Final = (sys.executable, "-c", IMPATIENTLY)
TARGET: Final = "AmazonEC2ContainerRegistry_V20150921"


@dataclass
class Site:
    """A node of a region, and the folder that outlives its processes. It listens where it once did."""

    root: Path
    region: str
    listen: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    also: Sequence[str] = ()  # further addresses
    before: Sequence[str] = ()  # the words that start it elsewhere
    node: Process = field(init=False)

    @asynccontextmanager
    async def up(self, *, to: "Site | None" = None, by: str = "") -> AsyncIterator[Process]:
        """Run it. `to` is the site that it can replicate to, at the url `by` where that is not the site's own."""
        self.root.mkdir(exist_ok=True)
        tables = self._way(to, by or to.url) if to else ""
        async with serving(
            self.root,
            listen=(self.listen, *self.also),
            before=(*self.before, *IMPATIENT),
            registry=f'region = "{self.region}"',
            tables=tables,
        ) as self.node:
            yield self.node

    @property
    def url(self) -> str:
        return f"http://{self.listen}"

    @property
    def key(self) -> tuple[str, str]:
        """The id and the secret of the root key that it made at its first start."""
        found = configparser.ConfigParser()
        found.read(self.root / "store" / "root.credentials")
        profile = found[found.sections()[0]]
        return profile["aws_access_key_id"], profile["aws_secret_access_key"]

    def _way(self, to: "Site", url: str) -> str:
        key_id, secret = to.key
        file = self.root / f"{to.region}.secret"
        file.write_text(secret)
        file.chmod(0o600)
        return f'[[region]]\nname = "{to.region}"\nurl = "{url}"\naccess_key = "{key_id}"\nsecret_file = "{file}"\n'

    async def call(self, operation: str, **given: Any) -> dict[str, Any]:
        """Call an operation of ECR, as the root of its account."""
        async with aiohttp.ClientSession() as session:
            return await self.call_by(session, self.node.url, operation, **given)

    async def call_by(self, session: aiohttp.ClientSession, url: str, operation: str, **given: Any) -> dict[str, Any]:
        """Call an operation of ECR by a session of the caller's own, at a url of the node."""
        headers = {"X-Amz-Target": f"{TARGET}.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        body, url = json.dumps(given).encode(), f"{url}/"
        sent = signed("POST", url, body, "ecr", self.region, *self.key, headers=headers)
        async with session.post(url, data=body, headers=sent) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            assert response.status == 200, answer
            return answer

    async def replicate(self, to: "Site") -> None:
        """Let all that is pushed from now on be replicated."""
        await self.call("PutReplicationConfiguration", replicationConfiguration=rules(to.region))

    async def lag(self, to: "Site") -> tuple[float, float]:
        """Say how many images wait for a site, and for how many seconds the oldest of them does."""
        _, text = await self.node.fetch("/metrics")
        return lag_in(text.decode(), to.region)

    async def is_done(self, to: "Site") -> bool:
        """Tell whether nothing waits for a site."""
        return await self.lag(to) == (0.0, 0.0)


def rules(region: str) -> dict[str, Any]:
    return {"rules": [{"destinations": [{"region": region, "registryId": ACCOUNT_DEFAULT}]}]}


def lag_in(metrics: str, region: str) -> tuple[float, float]:
    """Read the images that wait for a region, and the age of the oldest in seconds."""
    labels = f'{{account="{ACCOUNT_DEFAULT}",region="{region}"}}'
    found = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    waiting, oldest_s = (found.get(f"mirror_replication_{name}{labels}", "nan") for name in ("waiting", "lag_seconds"))
    return float(waiting), float(oldest_s)
