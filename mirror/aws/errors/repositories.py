"""Refusals about repositories, registries and their documents. Pure."""

from mirror.aws.errors.kinds import AwsError
from mirror.oci.errors import NameUnknown
from mirror.oci.names import Registry


class RepositoryNotFound(NameUnknown):
    aws = "RepositoryNotFoundException"

    def __init__(self, name: str, registry: Registry) -> None:
        super().__init__(
            f"The repository with name '{name}' does not exist in the registry with id '{registry.account}'"
        )


class RepositoryAlreadyExists(AwsError):
    aws = "RepositoryAlreadyExistsException"

    def __init__(self, name: str, registry: Registry) -> None:
        super().__init__(
            f"The repository with name '{name}' already exists in the registry with id '{registry.account}'"
        )


class RepositoryNotEmpty(AwsError):
    aws = "RepositoryNotEmptyException"

    def __init__(self, name: str, registry: Registry) -> None:
        super().__init__(
            f"The repository with name '{name}' in registry with id '{registry.account}' cannot be deleted because "
            "it still contains images"
        )


class RegistryNotFound(AwsError):
    aws = "RegistryNotFoundException"


class RepositoryPolicyNotFound(AwsError):
    aws = "RepositoryPolicyNotFoundException"

    def __init__(self, name: str, registry: Registry) -> None:
        super().__init__(
            f"Repository policy does not exist for the repository with name '{name}' in the registry with id "
            f"'{registry.account}'"
        )


class LifecyclePolicyNotFound(AwsError):
    aws = "LifecyclePolicyNotFoundException"

    def __init__(self, name: str, registry: Registry) -> None:
        super().__init__(
            f"Lifecycle policy does not exist for the repository with name '{name}' in the registry with id "
            f"'{registry.account}'"
        )


class RegistryPolicyNotFound(AwsError):
    aws = "RegistryPolicyNotFoundException"

    def __init__(self, registry: Registry) -> None:
        super().__init__(f"Registry policy does not exist in the registry with id '{registry.account}'")


class LimitExceeded(AwsError):
    aws = "LimitExceededException"


class QuotaExceeded(LimitExceeded):
    """A quota of this node's own: DENIED to docker clients, which show the message and do not try again."""

    code, status = "DENIED", 403


class InvalidTagParameter(AwsError):
    aws = "InvalidTagParameterException"


class TooManyTags(AwsError):
    aws = "TooManyTagsException"
