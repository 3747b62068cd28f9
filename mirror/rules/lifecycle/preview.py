"""A lifecycle preview's answer: what would be done, as GetLifecyclePolicyPreview says it.

Source: ECR API reference, LifecyclePolicyPreviewResult and LifecyclePolicyPreviewSummary; ECR.md 2.3, "Operations": the
words of the policy in upper case. Artifacts, which no rule selects, are not listed. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mirror.rules.lifecycle.evaluate import Action, Evaluation


def previewed(evaluation: Evaluation, tag_status: str = "ANY") -> list[Action]:
    """Return the actions that a preview lists, oldest image first. `tag_status` is TAGGED, UNTAGGED or ANY."""
    return [
        action
        for action in evaluation.actions
        if not action.follows and tag_status in ("ANY", "TAGGED" if action.image.tags else "UNTAGGED")
    ]


def results(actions: Iterable[Action]) -> list[dict[str, Any]]:
    """Return `previewResults`."""
    return [_result(action) for action in actions]


def summary(actions: Sequence[Action]) -> dict[str, Any]:
    """Return `summary`; its counts of transitions only where there are some."""
    counts = Counter(action.target for action in actions if action.target)
    found: dict[str, Any] = {"expiringImageTotalCount": sum(1 for action in actions if action.type == "expire")}
    if counts:
        found["transitioningImageTotalCounts"] = [
            {"targetStorageClass": target.upper(), "imageTotalCount": count} for target, count in counts.items()
        ]
    return found


def _result(action: Action) -> dict[str, Any]:
    image = action.image
    tags = {"imageTags": list(image.tags)} if image.tags else {}
    target = {"targetStorageClass": action.target.upper()} if action.target else {}
    return {
        **tags,
        "imageDigest": image.digest,
        "imagePushedAt": image.pushed_at,
        "action": {"type": action.type.upper(), **target},
        "appliedRulePriority": action.priority,
        "storageClass": image.storage_class.upper(),
    }
