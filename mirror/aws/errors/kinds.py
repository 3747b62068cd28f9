"""What every refusal of an AWS API is, and the two ways of saying that an argument is wrong. Pure."""

from mirror.oci.errors import RegistryError


class AwsError(RegistryError):
    """A refusal that only the AWS APIs know."""

    code, status = "UNSUPPORTED", 400
    aws_status = 400


class InvalidParameter(AwsError):
    aws = "InvalidParameterException"


class ValidationFailed(AwsError):
    """How the newer operations report bad arguments."""

    aws = "ValidationException"


def constraint(field: str, text: str) -> InvalidParameter:
    """Say which rule a parameter breaks, in ECR's form."""
    return InvalidParameter(f"Invalid parameter at '{field}' failed to satisfy constraint: '{text}'")
