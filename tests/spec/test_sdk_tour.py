"""Every operation of ECR and ECR Public by boto3, over loopback and a whole node; each raw answer is held by the model.

One walk through each service (issue 3, "Proof"). Faults and fine print have tests of their own.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from accounts import ADMIN, OTHER, OWNER, REGION, Person, Town, allow, arn_of, policy, populated
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError
from pushing import image_manifest, sha256
from responses import assert_answer, assert_modelled
from standin import OCI_MANIFEST, Standin

SESSION: Final = boto3.session.Session()  # its loader remembers the models
PUBLIC_ADMIN: Final = Person(OWNER, "gallerist", inline=(allow(None, "ecr-public:*", "sts:GetServiceBearerToken"),))
NAME: Final = "tour/app"
SECRET: Final = "ecr-pullthroughcache/tour"
KEEP_ONE: Final = {
    "rulePriority": 1,
    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
    "action": {"type": "expire"},
}
LIFECYCLE: Final = json.dumps({"rules": [KEEP_ONE]}, indent=2)
SIGNER: Final = f"arn:aws:signer:{REGION}:{OWNER}:/signing-profiles/release"
ROLE: Final = f"arn:aws:iam::{OWNER}:role/scanner"


@dataclass
class Tour:
    """A client of one service that notes what was answered, and what was refused with which error."""

    client: Any
    answered: set[str] = field(default_factory=set)
    refused: dict[str, set[str]] = field(default_factory=dict)

    def see(self, operation_model: Any, response_dict: Mapping[str, Any], **_: Any) -> None:
        """Hold a raw answer against the model before the SDK reads it."""
        name, body = operation_model.name, response_dict["body"]
        service = operation_model.service_model.service_name
        if response_dict["status_code"] == 200:
            assert_answer(service, name, body)
            self.answered.add(name)
        else:
            kind = json.loads(body)["__type"].rpartition("#")[2]
            assert_modelled(service, name, kind)
            self.refused.setdefault(name, set()).add(kind)

    def pages(self, operation: str, key: str, **given: Any) -> list[Any]:
        """Read all pages of an operation, one entry a page."""
        paginator = self.client.get_paginator(operation)
        found = [page[key] for page in paginator.paginate(**given, PaginationConfig={"PageSize": 1})]
        assert all(len(page) <= 1 for page in found)
        return [one for page in found for one in page]

    def push(self, name: str, tag: str, layer: bytes, **more: Any) -> str:
        """Push an image as a tool that has only the API does, without a tag where it is ""; return its digest."""
        config = layer[::-1]
        for data in (config, layer):
            self.upload(name, data)
        given = {"imageTag": tag} if tag else {}
        manifest = image_manifest(config, [layer], **more).decode()
        put = self.client.put_image(repositoryName=name, imageManifest=manifest, **given)
        return str(put["image"]["imageId"]["imageDigest"])

    def upload(self, name: str, data: bytes) -> None:
        found = self.client.batch_check_layer_availability(repositoryName=name, layerDigests=[sha256(data)])
        if found["layers"][0]["layerAvailability"] == "AVAILABLE":
            return
        upload = self.client.initiate_layer_upload(repositoryName=name)["uploadId"]
        self.client.upload_layer_part(
            repositoryName=name, uploadId=upload, partFirstByte=0, partLastByte=len(data) - 1, layerPartBlob=data
        )
        self.client.complete_layer_upload(repositoryName=name, uploadId=upload, layerDigests=[sha256(data)])


@contextmanager
def refused(kind: str) -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == kind


async def tour(town: Town, person: Person, service: str, *walks: Callable[[Tour], None]) -> Tour:
    """Take walks through a service as `person`, in a thread."""
    client = SESSION.client(
        service,  # type: ignore[call-overload]
        region_name=REGION,
        endpoint_url=town.node.url,
        aws_access_key_id=person.key_id,
        aws_secret_access_key=person.secret,
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )
    taken = Tour(client)
    client.meta.events.register(f"before-parse.{client.meta.service_model.service_id.hyphenize()}.*", taken.see)

    def walk() -> None:
        for one in walks:
            one(taken)

    try:
        await asyncio.to_thread(walk)
    finally:
        client.close()
    return taken


def paginated(client: Any) -> set[str]:
    return {name for name in client.meta.service_model.operation_names if client.can_paginate(xform_name(name))}


# The private service.


def repositories(tour: Tour) -> None:
    ecr = tour.client
    made = ecr.create_repository(repositoryName=NAME, tags=[{"Key": "team", "Value": "a"}])["repository"]
    ecr.create_repository(repositoryName="tour/other")
    assert made["repositoryArn"] == arn_of(OWNER, NAME)
    names = [one["repositoryName"] for one in tour.pages("describe_repositories", "repositories")]
    assert names == [NAME, "tour/other"]
    arn = made["repositoryArn"]
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "stage", "Value": "test"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "stage", "Value": "test"}]
    text = policy(allow("*", "ecr:BatchGetImage"))
    set_ = ecr.set_repository_policy(repositoryName=NAME, policyText=text)["policyText"]
    assert json.loads(set_) == json.loads(text)
    assert ecr.get_repository_policy(repositoryName=NAME)["policyText"] == set_
    assert ecr.delete_repository_policy(repositoryName=NAME)["policyText"] == set_
    filters = [{"filterType": "WILDCARD", "filter": "dev-*"}]
    changed = ecr.put_image_tag_mutability(
        repositoryName=NAME,
        imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=filters,
    )
    assert changed["imageTagMutabilityExclusionFilters"] == filters
    scanning = {"scanOnPush": True}
    assert (
        ecr.put_image_scanning_configuration(repositoryName=NAME, imageScanningConfiguration=scanning)[
            "imageScanningConfiguration"
        ]
        == scanning
    )


def images(tour: Tour) -> None:
    ecr = tour.client
    digests = [tour.push(NAME, f"v{number}", b"layer %d" % number) for number in range(3)]
    subject = {"mediaType": OCI_MANIFEST, "digest": digests[0], "size": 1}
    signature = tour.push(NAME, "", b"signature", subject=subject, artifactType="application/x.signature")
    listed = tour.pages("list_images", "imageIds", repositoryName=NAME)
    assert {one["imageDigest"] for one in listed} == {*digests, signature}
    details = tour.pages("describe_images", "imageDetails", repositoryName=NAME, filter={"tagStatus": "TAGGED"})
    assert sorted(one["imageTags"][0] for one in details) == ["v0", "v1", "v2"]
    got = ecr.batch_get_image(repositoryName=NAME, imageIds=[{"imageTag": "v1"}, {"imageTag": "none"}])
    assert sha256(got["images"][0]["imageManifest"].encode()) == digests[1]
    assert got["failures"][0]["failureCode"] == "ImageNotFound"
    layer = sha256(b"layer 1")
    assert ecr.get_download_url_for_layer(repositoryName=NAME, layerDigest=layer)["layerDigest"] == layer
    (referrer,) = ecr.list_image_referrers(repositoryName=NAME, subjectId={"imageDigest": digests[0]})["referrers"]
    assert (referrer["digest"], referrer["artifactType"]) == (signature, "application/x.signature")
    one = {"repositoryName": NAME, "imageId": {"imageDigest": digests[1]}}
    assert ecr.update_image_storage_class(**one, targetStorageClass="ARCHIVE")["imageStatus"] == "ARCHIVED"
    archived = ecr.list_images(repositoryName=NAME, filter={"imageStatus": "ARCHIVED"})["imageIds"]
    assert [image["imageDigest"] for image in archived] == [digests[1]]
    ecr.update_image_storage_class(**one, targetStorageClass="STANDARD")
    # No scanner and no signer, and no word that there was one; nothing replicates yet.
    assert ecr.describe_image_replication_status(**one)["replicationStatuses"] == []
    assert ecr.describe_image_signing_status(**one)["signingStatuses"] == []
    assert ecr.start_image_scan(**one)["imageScanStatus"]["status"] == "FAILED"
    with pytest.raises(WaiterError, match="failure state"):
        ecr.get_waiter("image_scan_complete").wait(**one, WaiterConfig={"Delay": 0, "MaxAttempts": 2})
    scans = ecr.get_paginator("describe_image_scan_findings").paginate(**one)
    assert [page["imageScanStatus"]["status"] for page in scans] == ["FAILED"]


def lifecycle(tour: Tour) -> None:
    ecr = tour.client
    put = ecr.put_lifecycle_policy(repositoryName=NAME, lifecyclePolicyText=LIFECYCLE)["lifecyclePolicyText"]
    assert put == json.dumps({"rules": [KEEP_ONE]}, separators=(",", ":"))
    assert ecr.get_lifecycle_policy(repositoryName=NAME)["lifecyclePolicyText"] == put
    assert ecr.start_lifecycle_policy_preview(repositoryName=NAME)["status"] == "IN_PROGRESS"
    ecr.get_waiter("lifecycle_policy_preview_complete").wait(
        repositoryName=NAME, WaiterConfig={"Delay": 0.01, "MaxAttempts": 500}
    )
    results = tour.pages("get_lifecycle_policy_preview", "previewResults", repositoryName=NAME)
    assert [one["action"]["type"] for one in results] == ["EXPIRE", "EXPIRE"]
    assert ecr.delete_lifecycle_policy(repositoryName=NAME)["lifecyclePolicyText"] == put


def registry(tour: Tour) -> None:
    ecr = tour.client
    assert len(ecr.get_authorization_token()["authorizationData"]) == 1
    text = policy(allow(OTHER, "ecr:ReplicateImage", Resource="*"))
    put = ecr.put_registry_policy(policyText=text)["policyText"]
    assert ecr.get_registry_policy()["policyText"] == put
    assert ecr.delete_registry_policy()["policyText"] == put
    destination = {"region": "eu-west-1", "registryId": OWNER}
    rules = {"rules": [{"destinations": [destination]}]}
    assert ecr.put_replication_configuration(replicationConfiguration=rules)["replicationConfiguration"] == rules
    assert ecr.describe_registry()["replicationConfiguration"] == rules
    scanning = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "tour", "filterType": "WILDCARD"}]}
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[scanning])
    assert ecr.get_registry_scanning_configuration()["scanningConfiguration"]["rules"] == [scanning]
    found = ecr.batch_get_repository_scanning_configuration(repositoryNames=[NAME, "no/such"])
    assert found["scanningConfigurations"][0]["scanFrequency"] == "SCAN_ON_PUSH"
    assert found["failures"][0]["failureCode"] == "REPOSITORY_NOT_FOUND"
    signing = {"rules": [{"signingProfileArn": SIGNER}]}
    ecr.put_signing_configuration(signingConfiguration=signing)
    assert ecr.get_signing_configuration()["signingConfiguration"] == signing
    assert ecr.delete_signing_configuration()["signingConfiguration"] == signing
    assert ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")["value"] == "ENABLED"
    assert ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "ENABLED"
    ecr.register_pull_time_update_exclusion(principalArn=ROLE)
    assert ecr.list_pull_time_update_exclusions()["pullTimeUpdateExclusions"] == [ROLE]
    ecr.deregister_pull_time_update_exclusion(principalArn=ROLE)
    # No way is known to that region: its images are refused, and the backfill has ended when all are.
    started = ecr.start_replication_backfill(destination=destination)["replicationBackfillId"]
    (listed,) = tour.pages("list_replication_backfills", "backfills")
    assert listed["replicationBackfillId"] == started
    with suppress(ClientError):  # it may have ended
        ecr.stop_replication_backfill(replicationBackfillId=started)
    results = ecr.get_paginator("describe_replication_backfill_results").paginate(replicationBackfillId=started)
    assert [page["replicationBackfillId"] for page in results] == [started]
    ecr.put_replication_configuration(replicationConfiguration={"rules": []})


def templates(tour: Tour) -> None:
    ecr = tour.client
    for prefix in ("tour", "ROOT"):
        ecr.create_repository_creation_template(prefix=prefix, appliedFor=["CREATE_ON_PUSH"])
    ecr.update_repository_creation_template(prefix="tour", description="a tour", imageTagMutability="IMMUTABLE")
    found = tour.pages("describe_repository_creation_templates", "repositoryCreationTemplates")
    assert {one["prefix"]: one["imageTagMutability"] for one in found} == {"tour": "IMMUTABLE", "ROOT": "MUTABLE"}
    for prefix in ("tour", "ROOT"):
        ecr.delete_repository_creation_template(prefix=prefix)


def pull_through(url: str, credential: str) -> Callable[[Tour], None]:
    def walk(tour: Tour) -> None:
        ecr = tour.client
        for prefix in ("hub", "mirror"):
            ecr.create_pull_through_cache_rule(ecrRepositoryPrefix=prefix, upstreamRegistryUrl=url)
        ecr.update_pull_through_cache_rule(ecrRepositoryPrefix="hub", credentialArn=credential)
        found = tour.pages("describe_pull_through_cache_rules", "pullThroughCacheRules")
        assert {one["ecrRepositoryPrefix"]: one.get("credentialArn") for one in found} == {
            "hub": credential,
            "mirror": None,
        }
        assert ecr.validate_pull_through_cache_rule(ecrRepositoryPrefix="hub")["isValid"] is True
        got = ecr.batch_get_image(repositoryName="hub/library/app", imageIds=[{"imageTag": "v1"}])
        assert got["failures"] == []
        for prefix in ("hub", "mirror"):
            ecr.delete_pull_through_cache_rule(ecrRepositoryPrefix=prefix)

    return walk


def deletion(tour: Tour) -> None:
    ecr = tour.client
    gone = ecr.batch_delete_image(repositoryName=NAME, imageIds=[{"imageTag": "v0"}, {"imageTag": "none"}])
    assert gone["imageIds"][0]["imageTag"] == "v0"
    assert gone["failures"][0]["failureCode"] == "ImageNotFound"
    with refused("RepositoryNotEmptyException"):
        ecr.delete_repository(repositoryName=NAME)
    assert ecr.delete_repository(repositoryName=NAME, force=True)["repository"]["repositoryName"] == NAME


async def test_an_sdk_drives_every_operation_of_ecr(tmp_path: Path) -> None:
    """ECR.md 1.1: 62 operations, the nine paginators, the two waiters."""
    async with Standin() as standin, populated(tmp_path) as town:
        standin.add_image("library/app", "v1")
        standin.basic = ("robot", "word")
        home = town.house.settings.home
        await town.house.secrets.put(home, SECRET, "robot", "word")
        credential = town.house.secrets.arn(home, SECRET)
        walks = (repositories, images, lifecycle, registry, templates, pull_through(standin.url, credential), deletion)
        taken = await tour(town, ADMIN, "ecr", *walks)
    operations = set(taken.client.meta.service_model.operation_names)
    assert taken.answered | {"StopReplicationBackfill"} == operations
    assert paginated(taken.client) <= taken.answered


# The public service.


def gallery(tour: Tour) -> None:
    public = tour.client
    data = {"description": "a tour", "architectures": ["x86-64"], "operatingSystems": ["Linux"], "aboutText": "# Tour"}
    made = public.create_repository(repositoryName=NAME, catalogData=data, tags=[{"Key": "team", "Value": "a"}])
    public.create_repository(repositoryName="tour/other")
    arn = made["repository"]["repositoryArn"]
    assert {one["repositoryName"] for one in tour.pages("describe_repositories", "repositories")} == {
        NAME,
        "tour/other",
    }
    public.put_registry_catalog_data(displayName="Tours")
    assert public.get_registry_catalog_data()["registryCatalogData"] == {"displayName": "Tours"}
    public.put_repository_catalog_data(repositoryName=NAME, catalogData={"usageText": "pull it"})
    assert public.get_repository_catalog_data(repositoryName=NAME)["catalogData"]["usageText"] == "pull it"
    public.tag_resource(resourceArn=arn, tags=[{"Key": "stage", "Value": "test"}])
    public.untag_resource(resourceArn=arn, tagKeys=["team"])
    assert public.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "stage", "Value": "test"}]
    text = policy(allow(OTHER, "ecr-public:DescribeImages"))
    public.set_repository_policy(repositoryName=NAME, policyText=text)
    assert json.loads(public.get_repository_policy(repositoryName=NAME)["policyText"]) == json.loads(text)
    public.delete_repository_policy(repositoryName=NAME)
    assert public.get_authorization_token()["authorizationData"]["authorizationToken"]


def gallery_images(tour: Tour) -> None:
    public = tour.client
    digests = {tour.push(NAME, f"v{number}", b"layer %d" % number) for number in range(2)}
    found = tour.pages("describe_images", "imageDetails", repositoryName=NAME)
    assert {one["imageDigest"] for one in found} == digests
    found = tour.pages("describe_image_tags", "imageTagDetails", repositoryName=NAME)
    assert {one["imageTag"] for one in found} == {"v0", "v1"}
    (registry,) = tour.pages("describe_registries", "registries")
    assert registry["registryId"] == OWNER
    public.batch_delete_image(repositoryName=NAME, imageIds=[{"imageTag": "v0"}])
    public.delete_repository(repositoryName=NAME, force=True)


async def test_an_sdk_drives_every_operation_of_ecr_public(tmp_path: Path) -> None:
    """ECR.md 1.1: 23 operations and the four paginators."""
    async with populated(tmp_path, people=(PUBLIC_ADMIN,)) as town:
        taken = await tour(town, PUBLIC_ADMIN, "ecr-public", gallery, gallery_images)
    assert taken.answered == set(taken.client.meta.service_model.operation_names)
    assert paginated(taken.client) <= taken.answered
