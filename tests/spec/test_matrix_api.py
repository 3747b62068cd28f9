"""The authorization matrix of the AWS APIs, RELIABILITY G16 and A11: every operation, every sort of caller.

The tables are written by hand: an operation that is in no table may be called by administrators only, and the service
models say which operations there are.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import pytest
import pytest_asyncio
from accounts import (
    ADMIN,
    DELETER,
    NOBODY,
    OTHER,
    OWNER,
    PULLER,
    PUSHER,
    READ_ONLY,
    STRANGER,
    Person,
    Town,
    allow,
    arn_of,
    populated,
)
from botocore.loaders import Loader
from botocore.model import ServiceModel
from pushing import push_image, sha256

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME: Final = "team/app"
NOWHERE: Final = "no/such"
DIGEST: Final = sha256(b"nobody has this")
POLICY: Final = json.dumps({"Version": "2012-10-17", "Statement": []})
PUBLIC_ADMIN: Final = Person(OWNER, "gallerist", inline=(allow(None, "ecr-public:*", "sts:GetServiceBearerToken"),))
PEOPLE: Final = (NOBODY, PULLER, PUSHER, DELETER, ADMIN, STRANGER, PUBLIC_ADMIN)

# Who may call what: ECR.md 2.1, "Managed policies" for the puller, the inline policies of tests/accounts.py for the
# others. Whoever is not named here is denied.
MAY: Final[Mapping[str, frozenset[str]]] = {
    "nobody": frozenset(),
    "puller": frozenset(
        {"GetAuthorizationToken", "BatchCheckLayerAvailability", "GetDownloadUrlForLayer", "GetRepositoryPolicy"}
        | {"DescribeRepositories", "ListImages", "DescribeImages", "BatchGetImage", "GetLifecyclePolicy"}
        | {"GetLifecyclePolicyPreview", "ListTagsForResource", "DescribeImageScanFindings"}
        | {"ListImageReferrers"}  # has no right of its own: ecr:BatchGetImage (ECR.md 2.1, "Action map")
    ),
    "pusher": frozenset(
        {"GetAuthorizationToken", "PutImage", "CreateRepository", "InitiateLayerUpload", "UploadLayerPart"}
        | {"CompleteLayerUpload"}
    ),
    "deleter": frozenset({"BatchDeleteImage"}),
}
# What is about no repository, so that nobody can ask it of another account (ECR.md 1.1: no registryId).
OWN_ONLY: Final = frozenset(
    {"CreateRepositoryCreationTemplate", "DeleteRegistryPolicy", "DeleteRepositoryCreationTemplate"}
    | {"DeleteSigningConfiguration", "DeregisterPullTimeUpdateExclusion", "DescribeRegistry"}
    | {"DescribeRepositoryCreationTemplates", "GetAccountSetting", "GetAuthorizationToken", "GetRegistryPolicy"}
    | {"GetRegistryScanningConfiguration", "GetSigningConfiguration", "ListPullTimeUpdateExclusions"}
    | {"PutAccountSetting", "PutRegistryPolicy", "PutRegistryScanningConfiguration", "PutReplicationConfiguration"}
    | {"PutSigningConfiguration", "RegisterPullTimeUpdateExclusion", "UpdateRepositoryCreationTemplate"}
    | {"BatchGetRepositoryScanningConfiguration"}
)
NOT_LET_IN: Final = ("AccessDeniedException", "UnrecognizedClientException", "MissingAuthenticationTokenException")

# Values by the names of members: whatever passes validation.
SAMPLES: Final[Mapping[str, Any]] = {
    "layerDigests": [DIGEST],
    "layerDigest": DIGEST,
    "imageIds": [{"imageDigest": DIGEST}],
    "imageId": {"imageDigest": DIGEST},
    "subjectId": {"imageDigest": DIGEST},
    "imageManifest": "{}",
    "uploadId": "00000000-0000-4000-8000-000000000000",
    "partFirstByte": 0,
    "partLastByte": 0,
    "layerPartBlob": "eA==",
    "ecrRepositoryPrefix": "none",
    "upstreamRegistryUrl": "public.ecr.aws",
    "prefix": "none",
    "appliedFor": ["CREATE_ON_PUSH"],
    "policyText": POLICY,
    "lifecyclePolicyText": '{"rules":[]}' + " " * 100,
    "name": "BASIC_SCAN_TYPE_VERSION",
    "value": "AWS_NATIVE",
    "principalArn": f"arn:aws:iam::{OWNER}:role/none",
    "replicationBackfillId": "00000000-0000-4000-8000-000000000000",
    "destination": {"region": "us-east-1", "registryId": OTHER},
    "replicationConfiguration": {"rules": []},
    "signingConfiguration": {"rules": []},
    "imageScanningConfiguration": {},
    "imageTagMutability": "MUTABLE",
    "targetStorageClass": "STANDARD",
    "tags": [],
    "tagKeys": ["none"],
    "catalogData": {},
}


def _operations() -> list[tuple[str, str]]:
    found = []
    for service in ("ecr", "ecr-public"):
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        found += [(service, name) for name in model.operation_names]
    return found


OPERATIONS: Final = _operations()


def given(service: str, operation: str, name: str, account: str = OWNER) -> dict[str, Any]:
    """Make the least input of an operation about a repository of `account`."""
    shape = ServiceModel(Loader().load_service_model(service, "service-2"), service).operation_model(operation)
    found: dict[str, Any] = {}
    for member in shape.input_shape.required_members if shape.input_shape else ():
        if member == "resourceArn":
            private = arn_of(account, name)
            found[member] = private if service == "ecr" else f"arn:aws:ecr-public::{account}:repository/{name}"
        else:
            found[member] = {"repositoryName": name, "repositoryNames": [name]}.get(member) or SAMPLES[member]
    if shape.input_shape and "registryId" in shape.input_shape.members:
        found["registryId"] = account
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with populated(tmp_path_factory.mktemp("town"), people=PEOPLE) as town:
        await push_image(town.client(ADMIN), NAME, "v1")
        yield town


async def kind_of(town: Town, person: Person | None, service: str, operation: str, **values: Any) -> str:
    """Call an operation; return the type of the error, "" of an answer."""
    status, answer = await town.call(person, service, operation, **values)
    kind = str(answer.get("__type", "")).rpartition("#")[2]
    assert (status == 200) == (not kind), (operation, status, answer)
    assert kind not in ("InternalFailure", "ServerException", "UnknownOperationException"), (operation, answer)
    return kind


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
async def test_each_operation_is_for_whom_the_tables_name(town: Town, service: str, operation: str) -> None:
    """G16, A11: of a repository that is there and of one that is not; a denial comes before any word on either."""
    people = {"nobody": NOBODY, "puller": PULLER, "pusher": PUSHER, "deleter": DELETER}
    for name in (NOWHERE,) if operation.startswith(("Delete", "Put", "Set", "Batch")) else (NOWHERE, NAME):
        values = given(service, operation, name)
        for label, person in people.items():
            found = await kind_of(town, person, service, operation, **values)
            allowed = service == "ecr" and operation in MAY[label]
            assert (found == "AccessDeniedException") == (not allowed), (label, name, found)
        assert await kind_of(town, None, service, operation, **values) == "MissingAuthenticationTokenException"


@pytest.mark.parametrize(("service", "operation"), OPERATIONS)
async def test_administrators_of_each_service_are_let_in_and_of_the_other_are_not(
    town: Town, service: str, operation: str
) -> None:
    """G16: `ecr:*` is not `ecr-public:*`; what is not there is an error of the operation's own."""
    values = given(service, operation, NOWHERE)
    own, foreign = (ADMIN, PUBLIC_ADMIN) if service == "ecr" else (PUBLIC_ADMIN, ADMIN)
    assert await kind_of(town, own, service, operation, **values) not in NOT_LET_IN
    assert await kind_of(town, foreign, service, operation, **values) == "AccessDeniedException"


@pytest.mark.parametrize(("service", "operation"), [one for one in OPERATIONS if one[0] == "ecr"])
async def test_another_accounts_administrator_is_denied_whatever_the_call_names(
    town: Town, service: str, operation: str
) -> None:
    """RELIABILITY A11, ECR.md 5 item 12: the owner's id in registryId or in an ARN; what has neither acts at home."""
    values = given(service, operation, NAME)
    found = await kind_of(town, STRANGER, service, operation, **values)
    names_the_owner = "registryId" in values or "resourceArn" in values
    assert names_the_owner == (operation not in OWN_ONLY)
    assert (found == "AccessDeniedException") == names_the_owner, found


async def test_a_key_that_is_gone_calls_nothing(town: Town) -> None:
    """RELIABILITY A21: switched off, deleted, unknown, and one with another secret."""
    person = await town.settle(Person(OWNER, "caller", (READ_ONLY,)))
    keys = town.house.known.identities.keys
    values = given("ecr", "ListImages", NAME)
    assert await kind_of(town, person, "ecr", "ListImages", **values) == ""
    forger = Person(OWNER, "caller", key=(person.key_id, "another/secret"))
    assert await kind_of(town, forger, "ecr", "ListImages", **values) == "InvalidSignatureException"
    await keys.switch(OWNER, person.name, person.key_id, active=False)
    assert await kind_of(town, person, "ecr", "ListImages", **values) == "UnrecognizedClientException"
    await keys.delete(OWNER, person.name, person.key_id)
    for key in (person.key, ("AKIANOBODYHASTHIS", "x")):
        caller = Person(OWNER, "caller", key=key)
        assert await kind_of(town, caller, "ecr", "ListImages", **values) == "UnrecognizedClientException"


async def test_the_token_that_the_api_gives_is_what_docker_logs_in_with(town: Town) -> None:
    """ECR.md 3.2 and 3.3: `Authorization: Basic <authorizationToken>`, the very text."""
    _, answer = await town.call(PULLER, "ecr", "GetAuthorizationToken")
    [data] = answer["authorizationData"]
    client = town.client(credential=f"Basic {data['authorizationToken']}")
    assert (await client.fetch(f"/v2/{NAME}/manifests/v1"))[0] == 200
    _, answer = await town.call(PUBLIC_ADMIN, "ecr-public", "GetAuthorizationToken")
    public = answer["authorizationData"]["authorizationToken"]
    at_home = town.client(credential=f"Basic {public}")
    assert (await at_home.fetch("/v2/"))[0] == 401
    gallery = town.client(host="public.mirror.test", credential=f"Bearer {public}")
    assert (await gallery.fetch("/v2/"))[0] == 200
