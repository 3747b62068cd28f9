"""Lifecycle policies by the API, and previews that are really computed."""

import asyncio
import json
from typing import Any

import pytest
from ecr_calls import APP, EcrCalls
from lifecycle_policies import DAYS, KEEP_ONE, archiving, let_pass, policy, rule
from registries import HOME
from sqlalchemy import text

from mirror.oci.digest import parse_digest
from mirror.oci.names import Repository
from mirror.registry import lifecycles

WAIT_S_MAX = 5.0


def compact(text: str) -> str:
    return json.dumps(json.loads(text), separators=(",", ":"))


async def preview(ecr: EcrCalls, **values: Any) -> dict[str, Any]:
    """Wait for a preview to be computed, as the waiter LifecyclePolicyPreviewComplete does."""
    async with asyncio.timeout(WAIT_S_MAX):
        while True:
            answer = await ecr("GetLifecyclePolicyPreview", repositoryName=APP, **values)
            if answer["status"] != "IN_PROGRESS":
                return answer
            await asyncio.sleep(0)


# Policies.


async def test_a_policy_is_echoed_without_white_space_and_kept(ecr: EcrCalls) -> None:
    """ECR.md 2.3, "Operations", and 5 item 14."""
    shape = {"registryId": HOME.account, "repositoryName": APP, "lifecyclePolicyText": compact(KEEP_ONE)}
    assert await ecr("PutLifecyclePolicy", repositoryName=APP, lifecyclePolicyText=KEEP_ONE) == shape
    assert await ecr("GetLifecyclePolicy", repositoryName=APP) == shape
    assert await ecr("DeleteLifecyclePolicy", repositoryName=APP) == shape
    for operation in ("GetLifecyclePolicy", "DeleteLifecyclePolicy", "StartLifecyclePolicyPreview"):
        refusal = await ecr.refused(operation, repositoryName=APP)
        assert refusal.type == "LifecyclePolicyNotFoundException"
        assert refusal.message == (
            f"Lifecycle policy does not exist for the repository with name '{APP}' in the registry with id "
            f"'{HOME.account}'"
        )


@pytest.mark.parametrize("operation", ["PutLifecyclePolicy", "StartLifecyclePolicyPreview"])
async def test_a_bad_policy_is_refused_in_ecrs_words(ecr: EcrCalls, operation: str) -> None:
    """ECR.md 2.3, "Messages"."""
    refusal = await ecr.refused(operation, repositoryName=APP, lifecyclePolicyText="{" + " " * 100)
    assert refusal.type == "InvalidParameterException"
    assert refusal.message == (
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation "
        "failure: Could not map policyString into LifecyclePolicy.'"
    )
    assert (await ecr.refused(operation, repositoryName=APP, lifecyclePolicyText="{}")).type == "ValidationException"


@pytest.mark.parametrize(
    "operation",
    [
        "PutLifecyclePolicy",
        "GetLifecyclePolicy",
        "DeleteLifecyclePolicy",
        "StartLifecyclePolicyPreview",
        "GetLifecyclePolicyPreview",
    ],
)
async def test_a_missing_repository_is_said_to_be_missing(ecr: EcrCalls, operation: str) -> None:
    """ECR.md 1.1: RepoNF."""
    text = {"lifecyclePolicyText": KEEP_ONE} if operation == "PutLifecyclePolicy" else {}
    assert (await ecr.refused(operation, repositoryName="nope", **text)).type == "RepositoryNotFoundException"


# Previews.


async def test_a_preview_tells_what_would_go_and_deletes_nothing(ecr: EcrCalls) -> None:
    """ECR.md 2.3, "Operations": the words are upper case, the text is as it was sent."""
    old, new = await ecr.push(APP, "v1", seed="1"), await ecr.push(APP, "v2", seed="2")
    started = await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    shape = {"registryId": HOME.account, "repositoryName": APP, "lifecyclePolicyText": KEEP_ONE}
    assert started == {**shape, "status": "IN_PROGRESS"}
    answer = await preview(ecr)
    [result] = answer.pop("previewResults")
    assert answer == {**shape, "status": "COMPLETE", "summary": {"expiringImageTotalCount": 1}}
    assert result.pop("imagePushedAt") > 1_700_000_000
    assert result == {
        "imageTags": ["v1"],
        "imageDigest": old.digest,
        "action": {"type": "EXPIRE"},
        "appliedRulePriority": 1,
        "storageClass": "STANDARD",
    }
    listed = await ecr("ListImages", repositoryName=APP)
    assert {entry["imageDigest"] for entry in listed["imageIds"]} == {old.digest, new.digest}


async def test_without_a_text_the_policy_that_is_set_is_previewed(ecr: EcrCalls) -> None:
    """ECR API reference, StartLifecyclePolicyPreview."""
    await ecr("PutLifecyclePolicy", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    started = await ecr("StartLifecyclePolicyPreview", repositoryName=APP)
    assert started["lifecyclePolicyText"] == compact(KEEP_ONE)
    assert (await preview(ecr))["previewResults"] == []


async def test_one_preview_at_a_time(ecr: EcrCalls) -> None:
    """ECR.md 2.3: one running is LifecyclePolicyPreviewInProgress."""
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    started = await ecr.refused("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    assert started.type == "LifecyclePolicyPreviewInProgressException"
    await preview(ecr)
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)


async def test_without_a_preview_there_is_none(ecr: EcrCalls) -> None:
    """ECR.md 2.3; a repository that was made anew has none either."""
    missing = await ecr.refused("GetLifecyclePolicyPreview", repositoryName=APP)
    assert missing.type == "LifecyclePolicyPreviewNotFoundException"
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    await preview(ecr)
    await ecr.house.repositories.delete(ecr.house.repositories.get(HOME, APP), force=True)
    await ecr.house.repositories.make(Repository(HOME, "", APP), "CREATE_ON_PUSH")
    assert (await ecr.refused("GetLifecyclePolicyPreview", repositoryName=APP)).type == missing.type


async def test_results_are_filtered_and_paged(ecr: EcrCalls) -> None:
    """ECR.md 1.3, "Pagination": imageIds are not combined with pages."""
    tagged = [await ecr.push(APP, f"v{number}", seed=str(number)) for number in range(3)]
    bare = await ecr.push(APP, seed="bare")
    await ecr.push(APP, "last", seed="last")
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    everything = (await preview(ecr))["previewResults"]
    assert [result["imageDigest"] for result in everything] == [one.digest for one in (*tagged, bare)]
    pages = await ecr.pages("GetLifecyclePolicyPreview", "previewResults", repositoryName=APP, maxResults=3)
    assert [len(page) for page in pages] == [3, 1]
    assert [result for page in pages for result in page] == everything
    untagged = await preview(ecr, filter={"tagStatus": "UNTAGGED"})
    assert [result["imageDigest"] for result in untagged["previewResults"]] == [bare.digest]
    asked = [{"imageTag": "v1"}, {"imageDigest": bare.digest}, {"imageDigest": bare.digest, "imageTag": "v2"}]
    chosen = await preview(ecr, imageIds=asked, maxResults=1)
    assert [result["imageDigest"] for result in chosen["previewResults"]] == [tagged[1].digest, bare.digest]
    assert "nextToken" not in chosen
    assert chosen["summary"] == {"expiringImageTotalCount": 4}


async def test_worked_example_h_a_child_of_a_list_does_not_expire(ecr: EcrCalls) -> None:
    """ECR.md 2.3, example H: the loose image goes, the list's child stays."""
    child, loose = await ecr.push(APP, seed="child"), await ecr.push(APP, seed="loose")
    await ecr.push_list(APP, "v1", of=[child])
    await let_pass(ecr.store, 50)
    text = policy(rule(1, "untagged", 14, **DAYS))
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=text)
    answer = await preview(ecr)
    assert [result["imageDigest"] for result in answer["previewResults"]] == [loose.digest]


async def test_worked_example_g_what_is_not_pulled_is_archived(ecr: EcrCalls) -> None:
    """ECR.md 2.3, example G: n pushed 100 days ago goes, p pulled 10 days ago stays."""
    never, pulled = await ecr.push(APP, "n", seed="n"), await ecr.push(APP, "p", seed="p")
    await let_pass(ecr.store, 100)
    now = (await ecr("DescribeImages", repositoryName=APP))["imageDetails"][0]["imagePushedAt"] + 100 * 86_400
    repository = Repository(HOME, "", APP)
    await ecr.store.images.note_pulls({(repository, parse_digest(pulled.digest)): now - 10 * 86_400})
    archive = archiving(rule(1, count=90, countType="sinceImagePulled", countUnit="days"))
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=policy(archive))
    answer = await preview(ecr)
    [result] = answer["previewResults"]
    assert result["imageDigest"] == never.digest
    assert result["action"] == {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}
    assert answer["summary"] == {
        "expiringImageTotalCount": 0,
        "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}],
    }


async def test_a_preview_of_yesterday_has_expired(ecr: EcrCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    """ECR.md 2.3: the statuses of a preview."""
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    await preview(ecr)
    monkeypatch.setattr(lifecycles, "PREVIEW_S", -1.0)
    answer = await preview(ecr)
    assert answer["status"] == "EXPIRED"
    assert "previewResults" not in answer


async def test_a_preview_that_cannot_be_computed_has_failed_and_is_logged(ecr: EcrCalls, events: list[Any]) -> None:
    """ECR.md 2.3: FAILED ends the waiter; a fault of ours is in the log, and another try may go well."""
    await _rename(ecr, "manifest_children", "gone")
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    assert (await preview(ecr))["status"] == "FAILED"
    assert [event["event"] for event in events if event["log_level"] == "error"] == ["lifecycle preview failed"]
    await _rename(ecr, "gone", "manifest_children")
    await ecr("StartLifecyclePolicyPreview", repositoryName=APP, lifecyclePolicyText=KEEP_ONE)
    assert (await preview(ecr))["status"] == "COMPLETE"


async def _rename(ecr: EcrCalls, old: str, new: str) -> None:
    async with ecr.store.database.write() as connection:
        await connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
