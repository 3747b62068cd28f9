"""Lifecycle policies, applied: the guide's worked examples, and a model that reads the rules image by image."""

import re
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.rules.lifecycle import Evaluation, Image, LifecyclePolicy, Rule, evaluate
from mirror.rules.lifecycle.evaluate import NO_RULE
from mirror.rules.lifecycle.policy import ActionType, CountType, Selection, StorageClass, TagStatus

DAY_S = 86_400
NOW = 20_000 * DAY_S


def ago(days: float) -> float:
    return NOW - days * DAY_S


def image(name: str, tags: str, days: float) -> Image:
    """An image with these comma-separated tags, pushed so many days ago."""
    return Image(name, ago(days), tuple(tag for tag in tags.split(",") if tag))


def tagged(priority: int, patterns: Sequence[str], number: int, count_type: CountType = "imageCountMoreThan") -> Rule:
    return Rule(priority, Selection("tagged", count_type, number, patterns=tuple(patterns)), "expire")


def status(priority: int, tag_status: TagStatus, number: int, count_type: CountType = "imageCountMoreThan") -> Rule:
    return Rule(priority, Selection(tag_status, count_type, number), "expire")


def applied(rules: Iterable[Rule], images: Sequence[Image]) -> Evaluation:
    return evaluate(LifecyclePolicy(tuple(rules)), images, NOW)


def marked(evaluation: Evaluation) -> dict[str, int]:
    """Which image is acted on, by the rule of which priority."""
    return {action.image.digest: action.priority for action in evaluation.actions}


BETA_PROD = [image("A", "beta-1,prod-1", 10), image("B", "beta-2,prod-2", 9), image("C", "beta-3", 8)]
ALPHA_BETA = [
    image("A", "alpha-1", 12),
    image("B", "beta-1", 11),
    image("C", "alpha-2,beta-2", 10),
    image("D", "alpha-3", 4),
    image("E", "beta-3", 3),
    image("F", "alpha-4,beta-4", 2),
]
WITH_GAMMA = [
    image("A", "alpha-1,beta-1,gamma-1", 10),
    image("B", "alpha-2,beta-2", 9),
    image("C", "alpha-3,beta-3,gamma-2", 8),
]
WITH_UNTAGGED = [image("A", "alpha-1", 4), image("B", "beta-1", 3), image("C", "", 2), image("D", "alpha-2", 1)]
MIXED = [
    image("A", "alpha-1,beta-1", 4),
    image("B", "", 3),
    image("C", "alpha-2", 2),
    image("D", "8ab1c99", 1),
    image("E", "", 1),
]
EXAMPLES = {
    "A": (BETA_PROD, [tagged(1, ["prod*"], 1), tagged(2, ["beta*"], 1)], {"A": 1}),
    "B": (BETA_PROD, [tagged(1, ["beta*"], 1), tagged(2, ["prod*"], 1)], {"A": 1, "B": 1}),
    "C": (ALPHA_BETA, [tagged(1, ["alpha*", "beta*"], 5, "sinceImagePushed")], {"C": 1}),
    "D": (WITH_GAMMA, [tagged(1, ["alpha*", "beta*"], 1)], {"A": 1, "B": 1}),
    "E": (WITH_UNTAGGED, [status(1, "any", 1)], {"A": 1, "B": 1, "C": 1}),
    "F": (
        MIXED,
        [tagged(1, ["alpha*"], 1), status(2, "untagged", 1, "sinceImagePushed"), status(3, "any", 1)],
        {"A": 1, "B": 2, "D": 3},
    ),
}


@pytest.mark.parametrize(("images", "rules", "wanted"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_worked_examples_of_the_guide_come_out_as_there(
    images: list[Image], rules: list[Rule], wanted: dict[str, int]
) -> None:
    """ECR.md 2.3, "Worked examples" A-F, whatever the order of the images."""
    assert marked(applied(rules, images)) == wanted
    assert marked(applied(rules, images[::-1])) == wanted


@pytest.mark.parametrize("name", ["A", "B", "C", "D"])
def test_a_prefix_is_a_pattern_with_a_star_behind(name: str) -> None:
    """ECR.md 2.3, "Evaluation" 1: prefix p is the pattern `p*`."""
    images, rules, wanted = EXAMPLES[name]
    as_prefixes = [
        Rule(
            rule.priority,
            Selection(
                "tagged",
                rule.selection.count_type,
                rule.selection.count_number,
                prefixes=tuple(glob[:-1] for glob in rule.selection.globs),
            ),
            rule.action,
        )
        for rule in rules
    ]
    assert marked(applied(as_prefixes, images)) == wanted


UNUSED = Rule(1, Selection("any", "sinceImagePulled", 90), "transition")


def test_an_image_nobody_pulls_is_archived_unless_it_was_restored_lately() -> None:
    """ECR.md 2.3, worked example G, and the two fallbacks of sinceImagePulled."""
    images = [
        Image("n", ago(100)),
        Image("p", ago(100), pulled_at=ago(10)),
        Image("r", ago(300), pulled_at=ago(200), activated_at=ago(20)),
    ]
    [action] = applied([UNUSED], images).actions
    assert (action.image.digest, action.type, action.target) == ("n", "transition", "archive")


PULLED = [
    (Image("i", ago(200), pulled_at=ago(100)), True),
    (Image("i", ago(200), pulled_at=ago(80)), False),
    (Image("i", ago(80)), False),
    (Image("i", ago(400), activated_at=ago(100)), True),
    (Image("i", ago(400), pulled_at=ago(95), activated_at=ago(100)), True),
    (Image("i", ago(400), pulled_at=ago(80), activated_at=ago(100)), False),
    (Image("i", ago(90)), False),
    (Image("i", ago(90) - 1), True),
    (Image("i", NOW + DAY_S), False),
]


@pytest.mark.parametrize(("one", "is_due"), PULLED)
def test_days_without_a_pull_count_from_the_latest_of_what_stands_for_one(one: Image, is_due: bool) -> None:
    """ECR.md 2.3, the table of count types: lastRecordedPullTime, pushed time, lastActivatedAt."""
    assert bool(applied([UNUSED], [one]).actions) is is_due


def test_a_restored_image_counts_as_pushed_when_it_was_restored() -> None:
    """ECR.md 2.3, the table of count types: "restored: lastActivatedAt"."""
    images = [Image("old", ago(300), activated_at=ago(1)), Image("new", ago(2))]
    assert marked(applied([status(1, "any", 1)], images)) == {"new": 1}
    assert marked(applied([status(1, "any", 1, "sinceImagePushed")], images)) == {"new": 1}


def test_archived_images_expire_by_the_day_they_were_archived() -> None:
    """ECR.md 2.3: sinceImageTransitioned compares lastArchivedAt; the classes do not see each other's images."""
    images = [
        Image("due", ago(500), storage_class="archive", archived_at=ago(100)),
        Image("young", ago(500), storage_class="archive", archived_at=ago(80)),
        Image("unknown", ago(500), storage_class="archive"),
        Image("standard", ago(500), archived_at=ago(400), activated_at=ago(300)),
    ]
    rule = Rule(1, Selection("any", "sinceImageTransitioned", 90, "archive"), "expire")
    assert marked(applied([rule], images)) == {"due": 1}
    assert marked(applied([status(1, "any", 400, "sinceImagePushed")], images)) == {}


def test_a_part_of_a_list_stays_until_the_list_is_gone() -> None:
    """ECR.md 2.3, worked example H, and "Evaluation" 4."""
    images = [
        image("list", "v1", 5),
        Image("child", ago(50), referenced_by=("list", "other")),
        image("loose", "", 50),
    ]
    evaluation = applied([status(1, "untagged", 14, "sinceImagePushed")], images)
    assert marked(evaluation) == {"loose": 1}
    [failure] = evaluation.failures
    assert (failure.image.digest, failure.priority) == ("child", 1)
    assert failure.code == "ImageReferencedByManifestList"
    assert failure.reason == "Requested image referenced by manifest list: [list, other]"


def test_a_part_of_a_list_counts_all_the_same() -> None:
    """ECR.md 2.3, "Evaluation" 4: "it still counts in step 2"."""
    images = [image("old", "", 9), Image("child", ago(1), referenced_by=("list",))]
    assert marked(applied([status(1, "untagged", 1)], images)) == {"old": 1}


def test_artifacts_go_with_their_subject_and_never_by_themselves() -> None:
    """ECR.md 2.3, "Evaluation" 5: a signature of an SBOM too, and each before what it is about."""
    images = [
        image("kept", "", 1),
        image("gone", "", 50),
        Image("sbom", ago(300), subject="gone"),
        Image("signature", ago(300), subject="sbom"),
        Image("alone", ago(300), subject="kept"),
        Image("early", ago(1), subject="not here yet"),
    ]
    evaluation = applied([status(7, "untagged", 14, "sinceImagePushed")], images)
    assert [(action.image.digest, action.follows) for action in evaluation.actions] == [
        ("signature", "gone"),
        ("sbom", "gone"),
        ("gone", ""),
    ]
    assert {action.priority for action in evaluation.actions} == {7}


def test_what_a_subject_left_behind_follows_it_a_day_later() -> None:
    """ECR.md 2.3, "Evaluation" 5: also where somebody else deleted or archived the subject; each once."""
    images = [
        Image("put away", ago(300), storage_class="archive", archived_at=ago(1)),
        Image("sbom", ago(300), subject="put away", storage_class="archive", archived_at=ago(1)),
        Image("signature", ago(0), subject="sbom"),
        Image("orphan", ago(2), subject="deleted"),
        Image("its own", ago(0), subject="orphan"),
        Image("listed", ago(2), subject="deleted", referenced_by=("list",)),
    ]
    evaluation = applied([status(1, "untagged", 14, "sinceImagePushed")], images)
    assert [(one.image.digest, one.type, one.follows, one.priority) for one in evaluation.actions] == [
        ("signature", "transition", "put away", NO_RULE),
        ("its own", "expire", "deleted", NO_RULE),
        ("orphan", "expire", "deleted", NO_RULE),
    ]
    assert [failure.image.digest for failure in evaluation.failures] == ["listed"]


def test_artifacts_are_no_candidates_that_an_image_could_be_counted_against() -> None:
    """ECR.md 2.3, "Evaluation" 5: not selected on their own."""
    images = [image("one", "", 5), Image("signature", ago(1), subject="one")]
    assert not applied([status(1, "untagged", 1)], images).actions


def test_an_artifact_that_is_archived_already_or_part_of_a_list_is_left() -> None:
    """ECR.md 2.3, "Evaluation" 4 and 5."""
    images = [
        Image("gone", ago(100)),
        Image("archived", ago(99), subject="gone", storage_class="archive"),
        Image("listed", ago(99), subject="gone", referenced_by=("list",)),
        Image("plain", ago(99), subject="gone"),
    ]
    evaluation = applied([UNUSED], images)
    assert [action.image.digest for action in evaluation.actions] == ["plain", "gone"]
    assert [failure.image.digest for failure in evaluation.failures] == ["listed"]


def test_the_oldest_images_go_first() -> None:
    """ECR.md 2.3, "Evaluation" 6, whichever rule it was."""
    images = [image("a", "x", 3), image("b", "", 9), image("c", "y", 5)]
    rules = [tagged(1, ["x"], 1, "sinceImagePushed"), status(2, "any", 1, "sinceImagePushed")]
    assert [action.image.digest for action in applied(rules, images).actions] == ["b", "c", "a"]


def test_a_clock_set_far_back_expires_nothing() -> None:
    """RELIABILITY G24: an image from the future is not old."""
    images = [image("a", "", 3), image("b", "", 2)]
    policy = LifecyclePolicy((status(1, "any", 1, "sinceImagePushed"),))
    assert not evaluate(policy, images, NOW - 10_000 * DAY_S).actions


# The model: for each image the first rule that identifies it decides, by counting or by age.


def identified(rule: Rule, one: Image) -> bool:
    selection = rule.selection
    if one.subject or one.storage_class != selection.storage_class:
        return False
    if selection.tag_status != "tagged":
        return selection.tag_status == "any" or not one.tags
    shapes = [re.compile(".*".join(map(re.escape, glob.split("*")))) for glob in selection.globs]
    return all(any(shape.fullmatch(tag) for tag in one.tags) for shape in shapes)


def moment(rule: Rule, one: Image) -> float:
    if rule.selection.count_type == "sinceImageTransitioned":
        return one.archived_at or NOW
    moments = [one.activated_at or one.pushed_at]
    if rule.selection.count_type == "sinceImagePulled" and one.pulled_at is not None:
        moments = [max(one.pulled_at, one.activated_at)] if one.activated_at is not None else [one.pulled_at]
    return moments[0]


def due(rule: Rule, one: Image, images: Iterable[Image]) -> bool:
    if rule.selection.count_type != "imageCountMoreThan":
        return NOW - moment(rule, one) > rule.selection.count_number * DAY_S
    mine = (moment(rule, one), one.digest)
    younger = [other for other in images if identified(rule, other) and (moment(rule, other), other.digest) > mine]
    return len(younger) >= rule.selection.count_number


def modelled(rules: Sequence[Rule], images: Sequence[Image]) -> tuple[dict[str, int], dict[str, int]]:
    done: dict[str, int] = {}
    failed: dict[str, int] = {}
    for one in images:
        rule = next((rule for rule in rules if identified(rule, one)), None)
        if rule is not None and due(rule, one, images):
            (failed if one.referenced_by else done)[one.digest] = rule.priority
    return done, failed


days = st.integers(0, 6)
classes: st.SearchStrategy[StorageClass] = st.sampled_from(["standard", "archive"])


@st.composite
def repositories(draw: st.DrawFn) -> list[Image]:
    """A few images close in age, of both classes, some of them parts of lists."""
    found = []
    for number in range(draw(st.integers(0, 7))):
        tags = draw(st.lists(st.sampled_from(["a", "b", "ab", "ba", "abc"]), max_size=2, unique=True))
        found.append(
            Image(
                f"sha256:{number}",
                ago(draw(days)),
                tuple(tags),
                pulled_at=draw(st.none() | days.map(ago)),
                storage_class=draw(classes),
                archived_at=draw(st.none() | days.map(ago)),
                activated_at=draw(st.none() | days.map(ago)),
                referenced_by=draw(st.sampled_from([(), (), ("sha256:list",)])),
            )
        )
    return found


@st.composite
def rule_lists(draw: st.DrawFn) -> list[Rule]:
    found = []
    for priority in range(1, draw(st.integers(1, 4)) + 1):
        tag_status: TagStatus = draw(st.sampled_from(["tagged", "untagged", "any"]))
        globs = draw(st.lists(st.sampled_from(["a*", "*b", "b*", "ab", "*"]), min_size=1, max_size=2))
        count_type: CountType = draw(
            st.sampled_from(["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"])
        )
        patterns = tuple(globs) if tag_status == "tagged" else ()
        action: ActionType = draw(st.sampled_from(["expire", "transition"]))
        selection = Selection(tag_status, count_type, draw(st.integers(1, 4)), draw(classes), patterns=patterns)
        found.append(Rule(priority, selection, action))
    return found


@given(rule_lists(), repositories())
def test_a_policy_does_what_the_plainest_reading_says(rules: list[Rule], images: list[Image]) -> None:
    """ECR.md 2.3, "Evaluation" 1-4: the first rule that identifies an image decides alone."""
    evaluation = applied(rules, images)
    done, failed = modelled(rules, images)
    assert marked(evaluation) == done
    assert {failure.image.digest: failure.priority for failure in evaluation.failures} == failed
    assert len(evaluation.actions) == len(done)
