"""Image pulls: manifests for the AWS API, with what an upstream's trouble is called there.

Source: ECR API reference, BatchGetImage; ECR.md 2.5, "Pull algorithm": who may not have things fetched is told that
there is nothing. The pull itself, and when it asks upstream, is `pull`'s.
"""

from mirror.aws.errors import RepositoryNotFound
from mirror.aws.principals import Principal
from mirror.oci.digest import Digest
from mirror.oci.errors import UpstreamDenied, UpstreamError, UpstreamThrottled
from mirror.oci.names import Reference, Registry, Repository
from mirror.registry.authority import Authority, Circumstances
from mirror.registry.image_ids import FailureCode, ImageFailure, ImageId, check_match, not_found
from mirror.registry.pull import UNKNOWN, PullManifests
from mirror.registry.pull_times import PullTimes
from mirror.registry.pulled import PulledManifest
from mirror.registry.repositories import Repositories
from mirror.rules.access.actions import CREATE_ACTION, IMPORT_ACTION
from mirror.store.index import Index


class ImagePulls:
    """What BatchGetImage needs."""

    def __init__(
        self,
        index: Index,
        repositories: Repositories,
        authority: Authority,
        manifests: PullManifests,
        times: PullTimes,
    ) -> None:
        self._index = index
        self._repositories = repositories
        self._authority = authority
        self._manifests = manifests
        self._times = times

    def repository(self, registry: Registry, name: str, principal: Principal, now: Circumstances) -> Repository:
        """Return the repository to pull from: it is there, or this pull may make it. Raises RepositoryNotFound."""
        repository = self._repositories.pulled(registry, name)
        if self._index.settings(repository) is not None:
            return repository
        if repository.owned or not self._may(principal, CREATE_ACTION, repository, now):
            raise RepositoryNotFound(name, registry)
        return repository

    async def pull(
        self, principal: Principal, repository: Repository, asked: ImageId, now: Circumstances
    ) -> PulledManifest:
        """Return an image's manifest. Raises ImageFailure."""
        asked.check()
        reference: Reference | None = asked.read_tag() or asked.read_digest()
        assert reference is not None
        if not self._is_known(repository, reference) and not self._may(principal, IMPORT_ACTION, repository, now):
            not_found()
        try:
            found = await self._manifests.pull(repository, reference)
        except UNKNOWN:
            not_found()
        except UpstreamError as error:
            raise ImageFailure(_upstream_code(error), error.message) from None
        check_match(asked, found.digest)
        self._times.note(repository, found.digest, principal)
        return found

    def _is_known(self, repository: Repository, reference: Reference) -> bool:
        if repository.owned:
            return True
        if isinstance(reference, Digest):
            return self._index.member(repository, reference) is not None
        return self._index.tag(repository, reference) is not None

    def _may(self, principal: Principal, action: str, repository: Repository, now: Circumstances) -> bool:
        return self._authority.decide(principal, action, repository, now).allowed


def _upstream_code(error: UpstreamError) -> FailureCode:
    if isinstance(error, UpstreamDenied):
        return "UpstreamAccessDenied"
    if isinstance(error, UpstreamThrottled):
        return "UpstreamTooManyRequests"
    return "UpstreamUnavailable"
