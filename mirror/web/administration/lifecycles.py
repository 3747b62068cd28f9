"""A lifecycle policy that an administrator has run: what went, or would go.

    {"images": [{"imageTags": ["v1"], "imageDigest": "sha256:...", "action": {"type": "EXPIRE"}, ...}],
     "summary": {"expiringImageTotalCount": 1}, "left": 0, "waiting": 0}

Images are those of a preview (GetLifecyclePolicyPreview) with the artifacts that follow them, oldest first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mirror.oci.names import Registry
from mirror.registry.expiry import Expiry
from mirror.registry.repositories import Repositories
from mirror.rules.lifecycle import Action, results, summary
from mirror.web.administration.asks import Expire
from mirror.web.administration.desk import Verbs

RUN_S_MAX: Final = 90.0  # those who ask give up after two minutes
IMAGES_MAX: Final = 10_000  # of one answer; all are counted


class LifecycleDesk:
    """Answers `/lifecycles`."""

    def __init__(self, expiry: Expiry, repositories: Repositories) -> None:
        self._expiry = expiry
        self._repositories = repositories

    def verbs(self) -> Verbs:
        return {Expire: self._expire}

    async def _expire(self, account: str, ask: Expire) -> Mapping[str, Any]:
        """Run a repository's policy, or say what that would do.

        `left` counts images that were tagged, pulled or pushed again meanwhile, `waiting` what is for another run.
        """
        repository = self._repositories.get(Registry(account), ask.repository)
        if ask.dry:
            return _said(await self._expiry.wanted(repository))
        run = await self._expiry.run(repository, seconds_max=RUN_S_MAX)
        return _said(run.done, left=run.left, waiting=run.waiting)


def _said(actions: Sequence[Action], *, left: int = 0, waiting: int = 0) -> Mapping[str, Any]:
    images = results(actions[:IMAGES_MAX])
    return {"images": images, "summary": summary(actions), "left": left, "waiting": waiting}
