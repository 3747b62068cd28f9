"""What a run of a policy did, as CloudTrail's PolicyExecutionEvent says it.

Source: ECR guide, "Example: Lifecycle policy logging"; ECR.md 6.2: at most ten images an event and a hundred tags an
image, times in milliseconds. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from mirror.rules.lifecycle.evaluate import Action, Failure, Image
from mirror.rules.lifecycle.policy import CountType, LifecyclePolicy, Rule

IMAGES_MAX: Final = 10  # of one event
TAGS_MAX: Final = 100  # of one image

_COUNT_TYPES: Final[Mapping[CountType, str]] = {
    "imageCountMoreThan": "Image count more than",
    "sinceImagePushed": "Since image pushed",
    "sinceImagePulled": "Since image pulled",
    "sinceImageTransitioned": "Since image transitioned",
}


def executions(
    policy: LifecyclePolicy,
    policy_id: str,
    evaluated_at: float,
    actions: Sequence[Action] = (),
    failures: Sequence[Failure] = (),
) -> Iterator[dict[str, Any]]:
    """Give the `serviceEventDetails` of as many events as it takes, but for `repositoryName`.

    `evaluated_at` is when the policy was run before (unix seconds), 0 for never.
    """
    said = {
        "lifecycleEventRules": [_rule(rule) for rule in policy.rules],
        "lastEvaluatedAt": round(evaluated_at * 1_000),
        "policyVersion": 1,
        "policyId": policy_id,
    }
    done = [_acted(one.image, one.priority) for one in actions]
    failed = [_failed(one) for one in failures]
    for first in range(0, max(len(done), len(failed)), IMAGES_MAX):
        some = slice(first, first + IMAGES_MAX)
        yield {
            "lifecycleEventPolicy": said,
            "lifecycleEventImageActions": done[some],
            "lifecycleEventFailureDetails": failed[some],
        }


def _rule(rule: Rule) -> dict[str, Any]:
    selection = rule.selection
    days = {} if selection.count_type == "imageCountMoreThan" else {"countUnit": "Days"}
    patterns = {"tagPatternList": list(selection.patterns)} if selection.patterns else {}
    return {
        "rulePriority": rule.priority,
        "description": rule.description,
        "lifecycleEventSelection": {
            "tagStatus": selection.tag_status.capitalize(),
            "tagPrefixList": list(selection.prefixes),
            **patterns,
            "countType": _COUNT_TYPES[selection.count_type],
            **days,
            "countNumber": selection.count_number,
        },
        "action": rule.action,
    }


def _acted(image: Image, priority: int) -> dict[str, Any]:
    return {
        "lifecycleEventImage": {
            "digest": image.digest,
            "tagStatus": "Tagged" if image.tags else "Untagged",
            "tagList": list(image.tags[:TAGS_MAX]),
            "pushedAt": round(image.pushed_at * 1_000),
        },
        "rulePriority": priority,
    }


def _failed(failure: Failure) -> dict[str, Any]:
    return {
        **_acted(failure.image, failure.priority),
        "failureCode": failure.code,
        "failureReason": failure.reason,
    }
