"""Exclusions, replication, scanning and signing: configurations, and honest answers where no engine runs."""

import pytest
from control_calls import ControlCalls
from registries import HOME

from mirror.aws.principals import Principal, root_of
from mirror.oci.names import Registry
from mirror.registry.exclusions import EXCLUSIONS_MAX

A = HOME.account
OTHER = "222222222222"
ROLE = f"arn:aws:iam::{A}:role/team/scanner"
BACKFILL = "01234567-89ab-cdef-0123-456789abcdef"
DESTINATION = {"region": "us-west-2", "registryId": OTHER}
RULES = {
    "rules": [
        {
            "destinations": [{"region": "us-east-2", "registryId": A}],
            "repositoryFilters": [{"filter": "prod", "filterType": "PREFIX_MATCH"}],
            "deleteReplication": {"enabled": True},
        },
        {"destinations": [DESTINATION]},
    ]
}
NO_SCANNER = {"status": "FAILED", "description": "The scan failed: no scanner is configured on this node."}
PROFILE = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/release"


# Exclusions.


async def test_exclusions_are_registered_and_listed(ecr: ControlCalls) -> None:
    """ECR.md 2.9, "Pull-time exclusions"."""
    made = await ecr("RegisterPullTimeUpdateExclusion", principalArn=ROLE)
    assert made["principalArn"] == ROLE
    refusal = await ecr.refused("RegisterPullTimeUpdateExclusion", principalArn=ROLE)
    assert refusal.type == "ExclusionAlreadyExistsException"
    assert await ecr("ListPullTimeUpdateExclusions") == {"pullTimeUpdateExclusions": [ROLE]}
    covers = ecr.control.exclusions.covers
    assert covers(HOME, Principal("role", A, "scanner", "/team/", session="night"))
    assert not covers(HOME, Principal("user", A, "scanner", "/team/"))
    assert not covers(Registry(OTHER), Principal("role", A, "scanner", "/team/", session="night"))
    assert await ecr("DeregisterPullTimeUpdateExclusion", principalArn=ROLE) == {"principalArn": ROLE}
    refusal = await ecr.refused("DeregisterPullTimeUpdateExclusion", principalArn=ROLE)
    assert refusal.type == "ExclusionNotFoundException"


async def test_exclusions_are_a_hundred_and_come_in_pages(ecr: ControlCalls) -> None:
    """ECR.md 1.3 and 6.3."""
    arns = [f"arn:aws:iam::{A}:user/u{number:03}" for number in range(EXCLUSIONS_MAX)]
    for arn in arns:
        await ecr("RegisterPullTimeUpdateExclusion", principalArn=arn)
    assert (await ecr.refused("RegisterPullTimeUpdateExclusion", principalArn=ROLE)).type == "LimitExceededException"
    pages = await ecr.pages("ListPullTimeUpdateExclusions", "pullTimeUpdateExclusions", maxResults=40)
    assert [len(page) for page in pages] == [40, 40, 20]
    assert [arn for page in pages for arn in page] == arns


async def test_an_exclusion_is_of_a_user_or_a_role(ecr: ControlCalls) -> None:
    """ECR.md appendix A, PrincipalArn."""
    refusal = await ecr.refused("RegisterPullTimeUpdateExclusion", principalArn=f"arn:aws:iam::{A}:root")
    assert refusal.type == "ValidationException"


# Replication.


async def test_a_replication_configuration_is_put_whole(ecr: ControlCalls) -> None:
    """ECR.md 2.4: `rules` is always there; no rule takes all away."""
    empty = {"registryId": A, "replicationConfiguration": {"rules": []}}
    assert await ecr("DescribeRegistry") == empty
    put = await ecr("PutReplicationConfiguration", replicationConfiguration=RULES)
    assert put == {"replicationConfiguration": RULES}
    assert await ecr("DescribeRegistry") == {"registryId": A, **put}
    assert await ecr("DescribeRegistry", principal=root_of(OTHER)) == {**empty, "registryId": OTHER}
    await ecr("PutReplicationConfiguration", replicationConfiguration={"rules": []})
    assert await ecr("DescribeRegistry") == empty


async def test_a_registry_is_not_its_own_destination(ecr: ControlCalls) -> None:
    """ECR.md 1.3, "Error texts"."""
    own = {"rules": [RULES["rules"][1], {"destinations": [{"region": "us-east-1", "registryId": A}]}]}
    refusal = await ecr.refused("PutReplicationConfiguration", replicationConfiguration=own)
    assert (refusal.type, refusal.message) == (
        "InvalidParameterException",
        (
            "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint: "
            "'Replication destination cannot be the same as the source registry'"
        ),
    )


async def test_no_image_has_copies(ecr: ControlCalls) -> None:
    """What this node has not copied has no status."""
    await ecr.make("app")
    image = await ecr.push("app", "v1")
    await ecr("PutReplicationConfiguration", replicationConfiguration=RULES)
    answer = await ecr("DescribeImageReplicationStatus", repositoryName="app", imageId={"imageTag": "v1"})
    expected_id = {"imageDigest": image.digest, "imageTag": "v1"}
    assert answer == {"repositoryName": "app", "imageId": expected_id, "replicationStatuses": []}
    answer = await ecr("DescribeImageSigningStatus", repositoryName="app", imageId={"imageDigest": image.digest})
    assert answer["signingStatuses"] == []
    for operation in ("DescribeImageReplicationStatus", "DescribeImageSigningStatus"):
        refusal = await ecr.refused(operation, repositoryName="app", imageId={"imageTag": "none"})
        assert refusal.type == "ImageNotFoundException"
        assert "{imageDigest:'null', imageTag:'none'}" in refusal.message
        refusal = await ecr.refused(operation, repositoryName="none", imageId={"imageTag": "v1"})
        assert refusal.type == "RepositoryNotFoundException"


async def test_a_backfill_is_to_a_destination_of_the_configuration(ecr: ControlCalls) -> None:
    """ECR.md 2.4, "Backfill": else Validation; none is found by another id."""
    await ecr("PutReplicationConfiguration", replicationConfiguration=RULES)
    refusal = await ecr.refused("StartReplicationBackfill", destination={**DESTINATION, "region": "eu-west-1"})
    assert refusal.type == "ValidationException"
    nothing = {"replicationBackfillId": "00000000-0000-4000-8000-000000000000"}
    for operation in ("StopReplicationBackfill", "DescribeReplicationBackfillResults"):
        assert (await ecr.refused(operation, **nothing)).type == "ReplicationBackfillNotFoundException"
    assert (await ecr("ListReplicationBackfills"))["backfills"] == []


# Scanning.


async def test_a_scanning_configuration_is_put_whole(ecr: ControlCalls) -> None:
    """ECR.md 2.8: its default, its echo."""
    default = {"scanType": "BASIC", "rules": []}
    assert await ecr("GetRegistryScanningConfiguration") == {"registryId": A, "scanningConfiguration": default}
    rule = {"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}
    refusal = await ecr.refused("PutRegistryScanningConfiguration", rules=[rule])
    assert refusal.type == "InvalidParameterException"
    put = await ecr("PutRegistryScanningConfiguration", scanType="ENHANCED", rules=[rule])
    expected = {"scanType": "ENHANCED", "rules": [rule]}
    assert put == {"registryScanningConfiguration": expected}
    assert (await ecr("GetRegistryScanningConfiguration"))["scanningConfiguration"] == expected
    assert await ecr("PutRegistryScanningConfiguration") == {"registryScanningConfiguration": default}


async def test_each_repository_has_its_frequency(ecr: ControlCalls) -> None:
    """ECR.md 2.8: a filter without `*` is a substring; an unknown name is a failure of its own."""
    for name in ("repo-prod", "test"):
        await ecr.make(name)
    await ecr.make("own", scan_on_push=True)
    wanted = {"filter": "prod", "filterType": "WILDCARD"}
    rule = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [wanted]}
    await ecr("PutRegistryScanningConfiguration", rules=[rule])
    names = ["repo-prod", "test", "own", "none"]
    answer = await ecr("BatchGetRepositoryScanningConfiguration", repositoryNames=names)
    shown = {
        one["repositoryName"]: (one["scanOnPush"], one["scanFrequency"], one["appliedScanFilters"])
        for one in answer["scanningConfigurations"]
    }
    assert shown == {
        "repo-prod": (True, "SCAN_ON_PUSH", [wanted]),
        "test": (False, "MANUAL", []),
        "own": (True, "SCAN_ON_PUSH", []),
    }
    assert answer["scanningConfigurations"][0]["repositoryArn"] == f"arn:aws:ecr:us-east-1:{A}:repository/repo-prod"
    [failure] = answer["failures"]
    assert (failure["repositoryName"], failure["failureCode"]) == ("none", "REPOSITORY_NOT_FOUND")
    await ecr("PutRegistryScanningConfiguration", scanType="ENHANCED", rules=[rule])
    [own] = (await ecr("BatchGetRepositoryScanningConfiguration", repositoryNames=["own"]))["scanningConfigurations"]
    assert own["scanFrequency"] == "MANUAL"


async def test_a_scan_fails_for_want_of_a_scanner_and_is_remembered(ecr: ControlCalls) -> None:
    """ECR.md 2.8: FAILED rather than invented findings; a failed scan may be asked for again at once."""
    await ecr.make("app")
    image = await ecr.push("app", "v1")
    about = {"repositoryName": "app", "imageId": {"imageTag": "v1"}}
    refusal = await ecr.refused("DescribeImageScanFindings", **about)
    assert (refusal.type, refusal.message) == (
        "ScanNotFoundException",
        (
            "Image scan does not exist for the image with '{imageDigest:'null', imageTag:'v1'}' in the repository with "
            f"name 'app' in the registry with id '{A}'"
        ),
    )
    expected = {
        "registryId": A,
        "repositoryName": "app",
        "imageId": {"imageDigest": image.digest, "imageTag": "v1"},
        "imageScanStatus": NO_SCANNER,
    }
    for _ in range(2):
        assert await ecr("StartImageScan", **about) == expected
    assert await ecr("DescribeImageScanFindings", **about) == expected
    refusal = await ecr.refused("DescribeImageScanFindings", repositoryName="app", imageId={"imageTag": "none"})
    assert refusal.type == "ImageNotFoundException"


async def test_another_way_of_scanning_hides_scans_and_a_deletion_ends_them(ecr: ControlCalls) -> None:
    """ECR.md 2.8: "Switching type hides earlier scans; switching back shows them"."""
    await ecr.make("app")
    image = await ecr.push("app", "v1")
    about = {"repositoryName": "app", "imageId": {"imageDigest": image.digest}}
    scanned = await ecr("StartImageScan", **about)
    await ecr("PutRegistryScanningConfiguration", scanType="ENHANCED")
    assert (await ecr.refused("DescribeImageScanFindings", **about)).type == "ScanNotFoundException"
    await ecr("PutRegistryScanningConfiguration", scanType="BASIC")
    assert await ecr("DescribeImageScanFindings", **about) == scanned
    await ecr("BatchDeleteImage", repositoryName="app", imageIds=[{"imageTag": "v1"}])
    await ecr.push("app", "v1")
    assert (await ecr.refused("DescribeImageScanFindings", **about)).type == "ScanNotFoundException"


async def test_what_cannot_be_scanned_is_refused(ecr: ControlCalls) -> None:
    """ECR.md 2.8: archived images, what is no image, and registries that scan by their rules alone."""
    await ecr.make("app")
    await ecr.push("app", "chart", seed="1", artifactType="application/vnd.cncf.helm.config.v1+json")
    child = await ecr.push("app", "v1", seed="2")
    await ecr.push_list("app", "list", of=[child])
    await ecr.push("app", "cold", seed="3")
    cold = {"repositoryName": "app", "imageId": {"imageTag": "cold"}}
    await ecr("UpdateImageStorageClass", **cold, targetStorageClass="ARCHIVE")
    assert (await ecr.refused("StartImageScan", **cold)).type == "ImageArchivedException"
    for tag in ("chart", "list"):
        refusal = await ecr.refused("StartImageScan", repositoryName="app", imageId={"imageTag": tag})
        assert refusal.type == "UnsupportedImageTypeException"
    await ecr("PutRegistryScanningConfiguration", scanType="ENHANCED")
    refusal = await ecr.refused("StartImageScan", repositoryName="app", imageId={"imageTag": "v1"})
    assert refusal.type == "ValidationException"


@pytest.mark.parametrize("image_id", [{}, {"imageDigest": "none"}])
async def test_an_id_that_names_nothing_is_a_bad_parameter(ecr: ControlCalls, image_id: dict[str, str]) -> None:
    """ECR.md 1.3, as DescribeImages."""
    await ecr.make("app")
    refusal = await ecr.refused("StartImageScan", repositoryName="app", imageId=image_id)
    assert refusal.type in ("InvalidParameterException", "ValidationException")


# Signing.


async def test_a_signing_configuration_is_put_read_and_deleted(ecr: ControlCalls) -> None:
    """ECR.md 2.9."""
    for operation in ("GetSigningConfiguration", "DeleteSigningConfiguration"):
        assert (await ecr.refused(operation)).type == "SigningConfigurationNotFoundException"
    rule = {"signingProfileArn": PROFILE, "repositoryFilters": [{"filter": "test*", "filterType": "WILDCARD_MATCH"}]}
    given = {"rules": [rule, {"signingProfileArn": PROFILE + "2"}]}
    put = await ecr("PutSigningConfiguration", signingConfiguration=given)
    assert put == {"signingConfiguration": given}
    assert await ecr("GetSigningConfiguration") == {"registryId": A, **put}
    assert await ecr("DeleteSigningConfiguration") == {"registryId": A, **put}
    assert (await ecr.refused("GetSigningConfiguration")).type == "SigningConfigurationNotFoundException"
    away = {"rules": [{"signingProfileArn": PROFILE.replace("us-east-1", "eu-west-1")}]}
    assert (await ecr.refused("PutSigningConfiguration", signingConfiguration=away)).type == "ValidationException"
