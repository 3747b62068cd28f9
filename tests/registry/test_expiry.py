"""Lifecycle policies carried out over a whole registry: what goes, what stays, and who is told."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from ecr_calls import APP, ME, EcrCalls, ecr_calls
from lifecycle_policies import DAYS, KEEP_ONE, archiving, let_pass, policy, rule
from registries import HOME
from stores import push

from mirror import telemetry
from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.registry import expiry
from mirror.registry.expiry import Run
from mirror.rules import lifecycle

OURS = Repository(HOME, "", APP)
HUB = Repository(HOME, "docker.io", "library/alpine")
UNUSED = policy(archiving(rule(1, count=90, countType="sinceImagePulled", countUnit="days")))


@pytest.fixture
async def ecr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EcrCalls]:
    monkeypatch.setattr(expiry, "REST_S", 0.0)
    async with ecr_calls(tmp_path / "data") as opened:
        await opened.make(APP)
        yield opened


async def put(ecr: EcrCalls, text: str) -> None:
    await ecr("PutLifecyclePolicy", repositoryName=APP, lifecyclePolicyText=text)


async def digests(ecr: EcrCalls, status: str = "ANY") -> set[str]:
    found = await ecr("ListImages", repositoryName=APP, filter={"imageStatus": status})
    return {entry["imageDigest"] for entry in found["imageIds"]}


def executions(events: list[Any]) -> list[Any]:
    """What the audit says of runs."""
    records = [event["record"] for event in events if event["event"] == "audit"]
    return [record for record in records if record["eventName"] == "PolicyExecutionEvent"]


async def test_images_expire_with_their_tags_and_artifacts_and_parts_of_lists_stay(
    ecr: EcrCalls, events: list[Any]
) -> None:
    """ECR.md 2.3, "Evaluation" 4 to 6; 6.2: the audit has what went and what could not go."""
    old = await ecr.push(APP, "v1", "v1.0", seed="old")
    signature = await ecr.push(APP, seed="signature", subject=old.manifest)
    child = await ecr.push(APP, seed="child")
    listed = await ecr.push_list(APP, "v2", of=[child])
    await put(ecr, KEEP_ONE)
    run = await ecr.house.expiry.run(OURS)
    assert [(one.image.digest, one.follows) for one in run.done] == [(signature.digest, old.digest), (old.digest, "")]
    assert (run.expired, run.archived, run.left, run.waiting) == (2, 0, 0, 0)
    assert await digests(ecr) == {child.digest, listed.digest}
    assert ecr.store.index.tag(OURS, "v1") is None
    done, failed = executions(events)
    assert (done["eventType"], done["userIdentity"]["invokedBy"]) == ("AwsServiceEvent", "AWS Internal")
    [resource] = done["resources"]
    assert resource["ARN"] == f"arn:aws:ecr:us-east-1:{HOME.account}:repository/{APP}"
    details = done["serviceEventDetails"]
    told = [one["lifecycleEventImage"]["digest"] for one in details["lifecycleEventImageActions"]]
    assert (details["repositoryName"], told) == (APP, [signature.digest, old.digest])
    [failure] = failed["serviceEventDetails"]["lifecycleEventFailureDetails"]
    assert failure["failureReason"] == f"Requested image referenced by manifest list: [{listed.digest}]"
    [line] = [event for event in events if event["event"] == "lifecycle policy run"]
    assert (line["repository"], line["expired"], line["archived"]) == (APP, 2, 0)


async def test_what_nobody_pulls_is_archived_and_its_signature_with_it(ecr: EcrCalls) -> None:
    """ECR.md 2.3 and 2.9: ARCHIVED, there, and not to be pulled; counted."""
    before = telemetry.LIFECYCLE_ARCHIVED._value.get()
    image = await ecr.push(APP, "v1", seed="1")
    signature = await ecr.push(APP, seed="signature", subject=image.manifest)
    await put(ecr, UNUSED)
    assert (await ecr.house.expiry.run(OURS)).done == []
    await let_pass(ecr.store, days=91)
    run = await ecr.house.expiry.run(OURS)
    assert (run.expired, run.archived) == (0, 2)
    assert await digests(ecr, "ARCHIVED") == {image.digest, signature.digest}
    assert (await ecr("BatchGetImage", repositoryName=APP, imageIds=[{"imageTag": "v1"}]))["images"] == []
    assert telemetry.LIFECYCLE_ARCHIVED._value.get() == before + 2
    assert (await ecr.house.expiry.run(OURS)).done == []


async def test_what_a_repository_caches_expires_and_is_not_archived(ecr: EcrCalls) -> None:
    """ECR.md 2.9, as by UpdateImageStorageClass: the next pull would bring it back."""
    await push(ecr.store, HUB, "one", "latest")
    now = 1_800_000_000.0
    for text, wanted in ((UNUSED, []), (policy(rule(1, "any", 14, **DAYS)), ["expire"])):
        judgement = await ecr.lifecycles.judge(HUB, lifecycle.parse_lifecycle(text), now)
        assert [action.type for action in judgement.evaluation.actions] == wanted


async def interrupted(ecr: EcrCalls, monkeypatch: pytest.MonkeyPatch, change: Callable[[], Any]) -> Run:
    """Run the policy, with `change` between the judgement and the first deletion."""
    judge = ecr.house.lifecycles.judge

    async def judged(*given: Any) -> Any:
        found = await judge(*given)
        await change()
        return found

    monkeypatch.setattr(ecr.house.lifecycles, "judge", judged)
    return await ecr.house.expiry.run(OURS)


async def test_a_tag_that_arrives_meanwhile_keeps_its_image(ecr: EcrCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 5, section 1: no image that is in use again is lost."""
    old, new = await ecr.push(APP, "v1", seed="1"), await ecr.push(APP, "v2", seed="2")
    older = await ecr.push(APP, seed="0")
    await put(ecr, policy(rule(1, "any", 14, **DAYS)))
    await let_pass(ecr.store, days=15)
    run = await interrupted(ecr, monkeypatch, lambda: ecr.put(APP, old.manifest, "stable"))
    assert run.left == 1
    assert {one.image.digest for one in run.done} == {new.digest, older.digest}
    assert await digests(ecr) == {old.digest}


async def test_a_pull_that_is_known_in_memory_alone_keeps_an_image_out_of_the_archive(
    ecr: EcrCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pull times are written now and then; a run does not wait for that."""
    image = await ecr.push(APP, "v1", seed="1")
    await put(ecr, UNUSED)
    await let_pass(ecr.store, days=91)

    async def pull() -> None:
        ecr.house.pull_times.note(OURS, parse_digest(image.digest), ME)

    assert (await interrupted(ecr, monkeypatch, pull)).left == 1
    assert await digests(ecr, "ACTIVE") == {image.digest}


async def test_a_policy_taken_away_meanwhile_does_nothing_more(ecr: EcrCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's way to stop a run."""
    for number in range(3):
        await ecr.push(APP, f"v{number}", seed=str(number))
    await put(ecr, KEEP_ONE)
    run = await interrupted(ecr, monkeypatch, lambda: ecr("DeleteLifecyclePolicy", repositoryName=APP))
    assert (run.done, run.waiting) == ([], 2)
    assert len(await digests(ecr)) == 3


async def test_a_run_ends_with_its_time_and_only_a_whole_one_is_told_as_the_last(ecr: EcrCalls) -> None:
    """ECR.md 2.3, "Operations": lastEvaluatedAt, absent before the first run."""
    for number in range(3):
        await ecr.push(APP, f"v{number}", seed=str(number))
    await put(ecr, KEEP_ONE)
    assert (await ecr.house.expiry.run(OURS, seconds_max=-1.0)).waiting == 2
    assert "lastEvaluatedAt" not in await ecr("GetLifecyclePolicy", repositoryName=APP)
    assert len(await ecr.house.expiry.wanted(OURS)) == 2
    assert (await ecr.house.expiry.run(OURS)).waiting == 0
    evaluated_at = (await ecr("GetLifecyclePolicy", repositoryName=APP))["lastEvaluatedAt"]
    await put(ecr, KEEP_ONE)
    assert "lastEvaluatedAt" not in await ecr("GetLifecyclePolicy", repositoryName=APP)
    await ecr.house.expiry.run(OURS)
    assert (await ecr("DeleteLifecyclePolicy", repositoryName=APP))["lastEvaluatedAt"] > evaluated_at


def test_a_batch_ends_behind_an_image_not_between_it_and_its_signatures() -> None:
    """A signature must not be gone where its image could stay; the size of a transaction has an end all the same."""

    def action(name: str, follows: str = "") -> lifecycle.Action:
        return lifecycle.Action(lifecycle.Image(name, 0.0), "expire", 1, follows)

    signed = [one for number in range(20) for one in (action(f"s{number}", f"i{number}"), action(f"i{number}"))]
    assert [len(batch) for batch in expiry._batches(signed)] == [10, 10, 10, 10]
    assert [len(batch) for batch in expiry._batches([action(str(n), "lost") for n in range(250)])] == [
        50,
        50,
        50,
        50,
        50,
    ]
    assert list(expiry._batches([])) == []
