"""CloudTrail's PolicyExecutionEvent: the guide's example, and its limits."""

from mirror.rules.lifecycle import Action, Failure, Image, LifecyclePolicy, Rule, executions
from mirror.rules.lifecycle.policy import Selection

KEEP_TWO = Rule(1, Selection("any", "imageCountMoreThan", 2), "expire", "remove all images > 2")
POLICY = LifecyclePolicy((KEEP_TWO,))
ALPINE = Image("sha256:ddba", 1_584_042_813.0, ("alpine",))
CHILD = Image("sha256:9117", 1_584_042_844.0, referenced_by=("sha256:4b27",))


def test_a_run_is_told_as_in_the_guide() -> None:
    """ECR.md 6.2, its example, word for word; `pushedAt` is in milliseconds."""
    [details] = executions(POLICY, "ceb86829", 0.0, [Action(ALPINE, "expire", 1)], [Failure(CHILD, 1)])
    selection = {"tagStatus": "Any", "tagPrefixList": [], "countType": "Image count more than", "countNumber": 2}
    rule = {
        "rulePriority": 1,
        "description": "remove all images > 2",
        "lifecycleEventSelection": selection,
        "action": "expire",
    }
    gone = {"digest": "sha256:ddba", "tagStatus": "Tagged", "tagList": ["alpine"], "pushedAt": 1_584_042_813_000}
    kept = {"digest": "sha256:9117", "tagStatus": "Untagged", "tagList": [], "pushedAt": 1_584_042_844_000}
    assert details == {
        "lifecycleEventPolicy": {
            "lifecycleEventRules": [rule],
            "lastEvaluatedAt": 0,
            "policyVersion": 1,
            "policyId": "ceb86829",
        },
        "lifecycleEventImageActions": [{"lifecycleEventImage": gone, "rulePriority": 1}],
        "lifecycleEventFailureDetails": [
            {
                "lifecycleEventImage": kept,
                "rulePriority": 1,
                "failureCode": "ImageReferencedByManifestList",
                "failureReason": "Requested image referenced by manifest list: [sha256:4b27]",
            }
        ],
    }


def test_an_event_has_ten_images_of_a_hundred_tags_at_most() -> None:
    """ECR.md 6.2; a run that did nothing is no event."""
    many = Image("sha256:ddba", 1.0, tuple(f"v{number}" for number in range(150)))
    events = list(executions(POLICY, "id", 1.5, [Action(many, "expire", 1)] * 25))
    assert [len(event["lifecycleEventImageActions"]) for event in events] == [10, 10, 5]
    assert len(events[0]["lifecycleEventImageActions"][0]["lifecycleEventImage"]["tagList"]) == 100
    assert events[0]["lifecycleEventPolicy"]["lastEvaluatedAt"] == 1_500
    assert list(executions(POLICY, "id", 0.0)) == []


def test_days_and_patterns_are_told() -> None:
    """ECR.md 2.3, "Grammar": what the policy says is in the record."""
    rule = Rule(3, Selection("tagged", "sinceImagePulled", 90, patterns=("v*",)), "transition")
    [event] = executions(LifecyclePolicy((rule,)), "id", 0.0, [Action(ALPINE, "transition", 3)])
    [told] = event["lifecycleEventPolicy"]["lifecycleEventRules"]
    assert told["lifecycleEventSelection"] == {
        "tagStatus": "Tagged",
        "tagPrefixList": [],
        "tagPatternList": ["v*"],
        "countType": "Since image pulled",
        "countUnit": "Days",
        "countNumber": 90,
    }
