"""Lifecycle policies for tests, and days that pass without anybody waiting.

await ecr("PutLifecyclePolicy", repositoryName=APP, lifecyclePolicyText=policy(rule(1, "untagged", 14, **DAYS)))
await let_pass(ecr.store, days=15)
"""

import json
from typing import Any, Final

from sqlalchemy import text

from mirror.store.store import Store

DAYS: Final = {"countType": "sinceImagePushed", "countUnit": "days"}


def rule(priority: int, status: str = "any", count: int = 1, **more: Any) -> dict[str, Any]:
    """A rule that keeps `count` images unless `more` says otherwise."""
    selection = {"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": count, **more}
    return {
        "rulePriority": priority,
        "description": "a rule of the tests, long enough for the model's least length",
        "selection": selection,
        "action": {"type": "expire"},
    }


def archiving(rule: dict[str, Any]) -> dict[str, Any]:
    """The rule, but for its action: to the archive."""
    return rule | {"action": {"type": "transition", "targetStorageClass": "archive"}}


def policy(*rules: dict[str, Any]) -> str:
    return json.dumps({"rules": list(rules)}, indent=1)


KEEP_ONE: Final = policy(rule(1))


async def let_pass(store: Store, days: float) -> None:
    """Let all images have been pushed, and all policies put and run, so much earlier."""
    async with store.database.write() as connection:
        for table, column in (("manifests", "pushed_at"), ("repository_documents", "updated_at")):
            await connection.execute(text(f"UPDATE {table} SET {column} = {column} - :s"), {"s": days * 86_400})
