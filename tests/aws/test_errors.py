"""The refusals of the AWS APIs: their names are AWS's, their statuses and texts too."""

from collections.abc import Iterator

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from responses import ALWAYS

import mirror.aws.errors as said
from mirror.aws.errors import (
    AwsError,
    ImageAlreadyExists,
    ImageNotFound,
    ImageTagAlreadyExists,
    LayersNotFound,
    LifecyclePolicyNotFound,
    RegistryPolicyNotFound,
    RepositoryAlreadyExists,
    RepositoryNotEmpty,
    RepositoryNotFound,
    RepositoryPolicyNotFound,
    UploadNotFound,
    constraint,
)
from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry

A = Registry("012345678910")
D = "sha256:" + "d" * 64


def modelled() -> set[str]:
    """The names of all errors that ecr and ecr-public model; IAM's and STS's by the codes that they answer."""
    names = set()
    for service in ("ecr", "ecr-public"):
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        names |= {shape.name for shape in model.error_shapes}
    for service in ("iam", "sts"):
        model = ServiceModel(Loader().load_service_model(service, "service-2"), service)
        names |= {shape.metadata.get("error", {}).get("code", shape.name) for shape in model.error_shapes}
    return names


def classes(root: type[RegistryError] = RegistryError) -> Iterator[type[RegistryError]]:
    yield root
    for below in root.__subclasses__():
        yield from classes(below)


def test_every_refusal_has_a_name_that_aws_knows() -> None:
    """ECR.md 3.1, "Error", and the service models; ValidationError and AccessDenied are IAM's own common ones."""
    known = modelled() | ALWAYS | {"ValidationError", "AccessDenied"}
    assert {error.aws for error in classes()} <= known


def test_what_ecr_models_is_answered_with_400() -> None:
    """ECR.md 5, item 20: RepositoryNotFound is 400, not 404."""
    common = {"ServerException", "UnknownOperationException"}
    for error in classes():
        if error.aws.endswith("Exception") and error.aws not in ALWAYS | common:
            assert error.aws_status == 400, error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            RepositoryNotFound("r", A),
            "The repository with name 'r' does not exist in the registry with id '012345678910'",
        ),
        (
            RepositoryAlreadyExists("r", A),
            "The repository with name 'r' already exists in the registry with id '012345678910'",
        ),
        (
            RepositoryNotEmpty("r", A),
            (
                "The repository with name 'r' in registry with id '012345678910' cannot be deleted because it still "
                "contains images"
            ),
        ),
        (
            RepositoryPolicyNotFound("r", A),
            "Repository policy does not exist for the repository with name 'r' in the registry with id '012345678910'",
        ),
        (
            LifecyclePolicyNotFound("r", A),
            "Lifecycle policy does not exist for the repository with name 'r' in the registry with id '012345678910'",
        ),
        (RegistryPolicyNotFound(A), "Registry policy does not exist in the registry with id '012345678910'"),
        (
            ImageNotFound("", "t", "r", A),
            (
                "The image with imageId {imageDigest:'null', imageTag:'t'} does not exist within the repository with "
                "name 'r' in the registry with id '012345678910'"
            ),
        ),
        (
            ImageAlreadyExists(D, "t", "r", A),
            (
                f"Image with digest '{D}' and tag 't' already exists in the repository with name 'r' in registry with "
                "id '012345678910'"
            ),
        ),
        (
            ImageTagAlreadyExists("t", "r"),
            (
                "The image tag 't' already exists in the 'r' repository and cannot be overwritten because the "
                "repository is immutable."
            ),
        ),
        (
            LayersNotFound([D], "r", A),
            (
                f"Layers with digests '[{D}]' required for pushing image into repository with name 'r' in the registry "
                "with id '012345678910' do not exist"
            ),
        ),
        (
            UploadNotFound("u", "r", A),
            (
                "Upload with id 'u' could not be found for the repository with name 'r' in the registry with id "
                "'012345678910'"
            ),
        ),
        (
            constraint("resourceArn", "Invalid ARN"),
            "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, RegistryError) else "",
)
def test_texts_that_tools_search_for_are_as_ecr_writes_them(error: RegistryError, text: str) -> None:
    """ECR.md 1.3, "Error texts"."""
    assert error.message == text


def test_a_refusal_that_only_aws_knows_is_none_of_dockers() -> None:
    """`mirror/aws/errors`: an AwsError has an OCI code all the same, should one ever meet a docker client."""
    assert (AwsError.code, AwsError.status) == ("UNSUPPORTED", 400)
    assert said.AccessDenied.code == "DENIED"
