"""Refusals that every AWS API has: who asks, and how; and those of IAM and STS. Pure."""

from mirror.aws.errors.kinds import AwsError
from mirror.oci.errors import Denied, Unauthorized


class AccessDenied(Denied):
    """The evaluator's no, in ECR's words. `explicit`: a policy denies it, rather than none allowing it."""

    aws = "AccessDeniedException"

    def __init__(self, message: str, *, explicit: bool = False) -> None:
        super().__init__(message)
        self.explicit = explicit


class MissingAuthenticationToken(Unauthorized):
    aws = "MissingAuthenticationTokenException"

    def __init__(self) -> None:
        super().__init__("Missing Authentication Token")


class UnrecognizedClient(Unauthorized):
    aws = "UnrecognizedClientException"

    def __init__(self) -> None:
        super().__init__("The security token included in the request is invalid.")


class InvalidSignature(Unauthorized):
    aws = "InvalidSignatureException"


class IncompleteSignature(Unauthorized):
    aws = "IncompleteSignatureException"


class ExpiredToken(Unauthorized):
    aws = "ExpiredTokenException"

    def __init__(self) -> None:
        super().__init__("The security token included in the request is expired")


class UnknownOperation(AwsError):
    aws, aws_status = "UnknownOperationException", 404


class SerializationFailed(AwsError):
    aws = "SerializationException"


class RequestEntityTooLarge(AwsError):
    aws, aws_status = "RequestEntityTooLargeException", 413


class RequestTimedOut(AwsError):
    """A body that did not arrive in time."""

    aws, aws_status = "RequestTimeoutException", 408


class Throttled(AwsError):
    """Too much at once: SDKs wait and come again."""

    aws = "ThrottlingException"


# IAM and STS, whose errors have short names and statuses of their own (IAM API reference, "Common Errors").


class NoSuchEntity(AwsError):
    aws, aws_status = "NoSuchEntity", 404


class EntityAlreadyExists(AwsError):
    aws, aws_status = "EntityAlreadyExists", 409


class DeleteConflict(AwsError):
    aws, aws_status = "DeleteConflict", 409


class MalformedPolicyDocument(AwsError):
    aws = "MalformedPolicyDocument"


class IamLimitExceeded(AwsError):
    aws, aws_status = "LimitExceeded", 409


class IamValidationError(AwsError):
    aws = "ValidationError"


class UnmodifiableEntity(AwsError):
    """What a file declares is changed in the file."""

    aws = "UnmodifiableEntity"
