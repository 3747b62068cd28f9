"""The shape of a lifecycle policy that was read and found good.

Source: ECR guide, "Lifecycle policy properties"; ECR.md 2.3, "Grammar". The words are those of the policy text, lower
case; the API answers the same ones in upper case. Built by `parse_lifecycle`, never by hand. Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mirror.rules.globs import matches

TagStatus = Literal["tagged", "untagged", "any"]
StorageClass = Literal["standard", "archive"]
CountType = Literal["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"]
ActionType = Literal["expire", "transition"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which images a rule is about. `prefixes` or `patterns` are there for tagged images only, never both.

    `count_number` is a number of images, or of days for the `since` types.
    """

    tag_status: TagStatus
    count_type: CountType
    count_number: int
    storage_class: StorageClass = "standard"
    prefixes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    @property
    def globs(self) -> tuple[str, ...]:
        """The patterns, a prefix `p` being the pattern `p*`."""
        return self.patterns or tuple(f"{prefix}*" for prefix in self.prefixes)

    def selects(self, tags: Sequence[str]) -> bool:
        """Tell whether an image with these tags is meant: every pattern matches some tag, not all the same one."""
        if self.tag_status == "any":
            return True
        if self.tag_status == "untagged":
            return not tags
        return bool(tags) and all(any(matches((glob,), tag) for tag in tags) for glob in self.globs)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: the lower its priority's number, the earlier it is applied."""

    priority: int
    selection: Selection
    action: ActionType
    description: str = ""


@dataclass(frozen=True, slots=True)
class LifecyclePolicy:
    """A repository's policy; its rules lowest priority number first."""

    rules: tuple[Rule, ...]
