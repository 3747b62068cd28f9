"""Applying a lifecycle policy to the images of one repository.

Source: ECR guide, "How the lifecycle policy evaluation works" and its examples; ECR.md 2.3, "Evaluation" 1-6. Data and
`now` in, a list out: nothing is deleted here. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from mirror.rules.lifecycle.policy import ActionType, CountType, LifecyclePolicy, Rule, StorageClass

DAY_S: Final = 86_400
REFERENCED: Final = "ImageReferencedByManifestList"
NO_RULE: Final = 0  # the priority of what no rule asks for: an artifact whose subject is gone or archived already


@dataclass(frozen=True, slots=True)
class Image:
    """A manifest of the repository. Times are unix seconds; None: it never happened.

    `pulled_at` is lastRecordedPullTime, `activated_at` the end of the last restore; `referenced_by` are the digests of
    the lists in this repository that contain it, `subject` the digest it is an artifact of, or "". An image whose
    restore is under way belongs to no storage class and is not to be given.
    """

    digest: str
    pushed_at: float
    tags: tuple[str, ...] = ()
    pulled_at: float | None = None
    storage_class: StorageClass = "standard"
    archived_at: float | None = None
    activated_at: float | None = None
    referenced_by: tuple[str, ...] = ()
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done to an image, by which rule, or by none (NO_RULE).

    An artifact `follows` the image, by digest, whose action it shares, or whose absence or archival is its reason.
    """

    image: Image
    type: ActionType
    priority: int
    follows: str = ""

    @property
    def target(self) -> StorageClass | None:
        """Return the storage class to move to; None if the image expires."""
        return "archive" if self.type == "transition" else None


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that a rule would act on, were it not part of a list."""

    image: Image
    priority: int
    code: str = REFERENCED

    @property
    def reason(self) -> str:
        return f"Requested image referenced by manifest list: [{', '.join(self.image.referenced_by)}]"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a policy wants. Actions are in the order to take them: oldest first, artifacts before their subject.

    A run that is cut short after any action leaves nothing that a second run would not find.
    """

    actions: tuple[Action, ...]
    failures: tuple[Failure, ...]


def evaluate(policy: LifecyclePolicy, images: Sequence[Image], now: float) -> Evaluation:
    """Decide what `policy` does to `images`, all those of a repository, at `now` (unix seconds).

    Each rule judges all images that it identifies, also those an earlier rule acts on; but an image that an earlier
    rule identified, acted on or not, is out of a later one's reach.
    """
    actions: list[Action] = []
    failures: list[Failure] = []
    shielded: set[str] = set()
    for rule in policy.rules:
        candidates = [image for image in images if _identifies(rule, image)]
        for image in _due(rule, candidates, now):
            if image.digest in shielded:
                continue
            if image.referenced_by:
                failures.append(Failure(image, rule.priority))
            else:
                actions.append(Action(image, rule.action, rule.priority))
        shielded.update(image.digest for image in candidates)
    return _with_artifacts(actions, failures, images, now)


def _identifies(rule: Rule, image: Image) -> bool:
    """Tell whether a rule is about an image. Never about an artifact: that follows its subject."""
    selection = rule.selection
    return not image.subject and image.storage_class == selection.storage_class and selection.selects(image.tags)


def _due(rule: Rule, candidates: Iterable[Image], now: float) -> list[Image]:
    """Return the candidates beyond the rule's count, or older than its days."""
    count_type, number = rule.selection.count_type, rule.selection.count_number
    since = _SINCE[count_type]
    if count_type == "imageCountMoreThan":
        return sorted(candidates, key=lambda image: (since(image), image.digest), reverse=True)[number:]
    return [image for image in candidates if now - since(image) > number * DAY_S]


def _pushed(image: Image) -> float:
    """A restored image counts as pushed when it was restored."""
    return image.pushed_at if image.activated_at is None else image.activated_at


def _pulled(image: Image) -> float:
    """A pull before the restore does not count; one never pulled counts from its push."""
    if image.pulled_at is None or (image.activated_at is not None and image.pulled_at < image.activated_at):
        return _pushed(image)
    return image.pulled_at


def _archived(image: Image) -> float:
    return inf if image.archived_at is None else image.archived_at


_SINCE: Final[Mapping[CountType, Callable[[Image], float]]] = {
    "imageCountMoreThan": _pushed,
    "sinceImagePushed": _pushed,
    "sinceImagePulled": _pulled,
    "sinceImageTransitioned": _archived,
}


def _with_artifacts(
    actions: Iterable[Action], failures: Iterable[Failure], images: Sequence[Image], now: float
) -> Evaluation:
    """Add what follows from each action: signatures, SBOMs and the signatures of those; then what was left behind."""
    artifacts: dict[str, list[Image]] = {}
    for image in images:
        if image.subject:
            artifacts.setdefault(image.subject, []).append(image)
    done: dict[str, Action] = {}
    failed = {failure.image.digest: failure for failure in failures}

    def follow(found: Iterable[Image], kind: ActionType, priority: int, subject: str) -> None:
        for artifact in reversed(list(_with_their_own(found, artifacts))):
            if artifact.digest in done or (kind == "transition" and artifact.storage_class == "archive"):
                continue
            if artifact.referenced_by:
                failed.setdefault(artifact.digest, Failure(artifact, priority))
            else:
                done[artifact.digest] = Action(artifact, kind, priority, subject)

    for action in sorted(actions, key=lambda action: (action.image.pushed_at, action.image.digest)):
        follow(artifacts.get(action.image.digest, ()), action.type, action.priority, action.image.digest)
        done[action.image.digest] = action
    for subject, kind, left in _left_behind(images, artifacts, now):
        if subject not in done:
            follow(left, kind, NO_RULE, subject)
    return Evaluation(tuple(done.values()), tuple(failed.values()))


def _left_behind(
    images: Sequence[Image], artifacts: Mapping[str, Sequence[Image]], now: float
) -> Iterator[tuple[str, ActionType, Sequence[Image]]]:
    """Find artifacts whose subject was archived or deleted before, by whomever: subject, action, its artifacts.

    One that is a day old at least: a subject may be pushed behind its signature.
    """
    classes = {image.digest: image.storage_class for image in images}
    for subject, found in artifacts.items():
        if subject not in classes:
            yield subject, "expire", [one for one in found if now - one.pushed_at > DAY_S]
        elif classes[subject] == "archive":
            yield subject, "transition", found


def _with_their_own(found: Iterable[Image], artifacts: Mapping[str, Sequence[Image]]) -> Iterator[Image]:
    """Walk artifacts and theirs, each subject before its own artifacts. A tree: each has one subject."""
    waiting = [found]
    while waiting:
        for one in waiting.pop():
            yield one
            waiting.append(artifacts.get(one.digest, ()))
