"""SIGHUP: what is taken up, what waits for a restart, and what a fault leaves as it was."""

import signal
from pathlib import Path
from typing import Any

from processes import Process, serving

from mirror.config import Log, Server, Settings, Storage
from mirror.node.reload import differences, merged

RESTART = ["access.anonymous", "registry.region"]


def change(root: Path, *pairs: tuple[str, str]) -> None:
    path = root / "mirror.toml"
    text = path.read_text()
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


async def reload(node: Process, event: str) -> dict[str, Any]:
    """Send SIGHUP, wait for `event`, and return it."""
    node.events[:] = [one for one in node.events if one["event"] in ("serving", "request")]
    node.signal(signal.SIGHUP)
    await node.logged(event)
    return next(one for one in node.events if one["event"] == event)


async def test_what_can_be_is_taken_up_and_what_cannot_is_named(tmp_path: Path) -> None:
    """Issue 5, section 4: SIGHUP reloads what can be; the log says what it did, and what needs a restart."""
    async with serving(tmp_path) as node:
        change(
            tmp_path,
            ("[log]", '[log]\nlevel = "error"'),
            ("[server]", "[server]\ndrain_s = 3"),
            ('["pull", "push", "delete"]', '["pull"]'),
            ("[registry]", '[registry]\nregion = "eu-west-1"'),
        )
        told = await reload(node, "configuration reloaded")
        assert told["changed"] == ["log.level", "server.drain_s"]
        assert told["need_restart"] == RESTART
        assert (await node.fetch("/v2/"))[0] == 200
        change(tmp_path, ('level = "error"', 'level = "info"'), ("access = true", "access = false"))
        told = await reload(node, "configuration reloaded")
        assert (told["changed"], told["need_restart"]) == (["log.access", "log.level"], RESTART)
        assert (await node.fetch("/v2/"))[0] == 200
        change(tmp_path, ("access = false", "access = true"))
        told = await reload(node, "configuration reloaded")
        assert (await node.fetch("/v2/_catalog"))[0] == 200
        await node.logged("request")
        targets = [event["target"] for event in node.events if event["event"] == "request"]
        assert targets == ["/v2/_catalog"], "one was below the level, one while the access log was off"


async def test_a_configuration_with_a_fault_changes_nothing(tmp_path: Path) -> None:
    """An operator's slip must not end a node that serves; each fault is named with its line."""
    async with serving(tmp_path) as node:
        change(tmp_path, ("access = true", "access = false\nlevle = 1"))
        told = await reload(node, "configuration not reloaded")
        line = (tmp_path / "mirror.toml").read_text().splitlines().index("levle = 1") + 1
        assert told["fault"] == f"{tmp_path}/mirror.toml:{line}: log.levle: unknown key; did you mean level?"
        assert (await node.fetch("/v2/"))[0] == 200
        await node.logged("request")


def test_only_what_is_taken_up_becomes_part_of_the_settings() -> None:
    """What needs a restart stays named at each reload until there was one."""
    old = Settings()
    new = Settings(
        server=Server(drain_s=1.0, public_url="http://x"), log=Log(level="debug"), storage=Storage(Path("/x"))
    )
    assert set(differences(old, new)) == {"server.drain_s", "server.public_url", "log.level", "storage.root"}
    now = merged(old, new, {"server.drain_s", "log.level"})
    assert now == Settings(server=Server(drain_s=1.0), log=Log(level="debug"))
    assert set(differences(now, new)) == {"server.public_url", "storage.root"}
    assert list(differences(old, Settings(upstreams=()))) == ["upstream"]
