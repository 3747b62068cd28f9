"""What a lifecycle preview answers."""

from mirror.rules.lifecycle import Image, LifecyclePolicy, Rule, evaluate, previewed, results, summary
from mirror.rules.lifecycle.policy import Selection

DAY_S = 86_400
NOW = 1_000.0 * DAY_S
IMAGES = [
    Image("sha256:1", 100.5, ("v1", "v2")),
    Image("sha256:2", 200.0),
    Image("sha256:3", 300.0, subject="sha256:2"),
    Image("sha256:4", 400.0, ("w",), storage_class="archive", archived_at=500.0),
]
POLICY = LifecyclePolicy(
    (
        Rule(3, Selection("tagged", "sinceImagePulled", 90, prefixes=("v",)), "transition"),
        Rule(5, Selection("untagged", "sinceImagePushed", 14), "expire"),
        Rule(6, Selection("any", "sinceImageTransitioned", 90, "archive"), "expire"),
    )
)
EVALUATION = evaluate(POLICY, IMAGES, NOW)


def test_a_preview_says_it_in_upper_case_oldest_first_and_without_artifacts() -> None:
    """ECR.md 2.3, "Operations": GetLifecyclePolicyPreview; ECR.md 5 item 14."""
    assert results(previewed(EVALUATION)) == [
        {
            "imageTags": ["v1", "v2"],
            "imageDigest": "sha256:1",
            "imagePushedAt": 100.5,
            "action": {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"},
            "appliedRulePriority": 3,
            "storageClass": "STANDARD",
        },
        {
            "imageDigest": "sha256:2",
            "imagePushedAt": 200.0,
            "action": {"type": "EXPIRE"},
            "appliedRulePriority": 5,
            "storageClass": "STANDARD",
        },
        {
            "imageTags": ["w"],
            "imageDigest": "sha256:4",
            "imagePushedAt": 400.0,
            "action": {"type": "EXPIRE"},
            "appliedRulePriority": 6,
            "storageClass": "ARCHIVE",
        },
    ]


def test_a_summary_counts_what_the_preview_lists() -> None:
    """ECR API reference, LifecyclePolicyPreviewSummary."""
    assert summary(previewed(EVALUATION)) == {
        "expiringImageTotalCount": 2,
        "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}],
    }


def test_a_summary_without_transitions_has_no_list_of_them() -> None:
    """ECR API reference: "only present if at least one image will be transitioned"."""
    assert summary([]) == {"expiringImageTotalCount": 0}
    assert summary(previewed(EVALUATION, "UNTAGGED")) == {"expiringImageTotalCount": 1}


def test_a_preview_can_be_asked_for_tagged_or_untagged_images_only() -> None:
    """ECR.md 2.3, "Filter tagStatus"."""
    assert [action.image.digest for action in previewed(EVALUATION, "TAGGED")] == ["sha256:1", "sha256:4"]
    assert [action.image.digest for action in previewed(EVALUATION, "UNTAGGED")] == ["sha256:2"]
