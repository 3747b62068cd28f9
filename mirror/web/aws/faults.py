"""What is wrong with an input, in the words of AWS: each API generation has its own.

Source: ECR.md 1.3, "Error texts", and section 3.1: older ECR operations say InvalidParameterException about one
member, newer ones ValidationException about all of them, IAM and STS ValidationError. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mirror.aws.errors import AwsError, IamValidationError, InvalidParameter, ValidationFailed, constraint

Kind = Literal["null", "length", "value", "pattern", "enum"]
Style = Literal["parameter", "validation", "query"]

QUOTED_CHARS_MAX: Final = 256  # a refusal need not send back a manifest
FAULTS_MAX: Final = 10  # of one input: the rest is told when these are mended

# Texts that tools search for, as real ones were seen; the missing and the doubled quotes are ECR's own.
_NAME: Final = "must satisfy regular expression '(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
_MUTABILITY: Final = (
    "Invalid parameter at 'imageTagMutability' failed to satisfy constraint: must be one of 'MUTABLE', 'IMMUTABLE', "
    "'MUTABLE_WITH_EXCLUSION', 'IMMUTABLE_WITH_EXCLUSION'"
)
_KNOWN: Final[Mapping[tuple[str, Kind], InvalidParameter]] = {
    ("repositoryName", "pattern"): constraint("repositoryName", _NAME),
    ("imageTagMutability", "enum"): InvalidParameter(_MUTABILITY),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A member that breaks a rule. `path` is as AWS prints it: `imageIds.1.member.imageTag`."""

    path: str
    kind: Kind
    rule: str
    value: object = None
    secret: bool = False


def refusal(style: Style, faults: Sequence[Fault]) -> AwsError:
    """Return the error that an operation of that style raises; there is at least one fault."""
    if style == "parameter":
        first = faults[0]
        known = _KNOWN.get((first.path, first.kind))
        return InvalidParameter(known.message) if known else constraint(first.path, first.rule)
    said = [
        f"Value{_quoted(fault)} at '{fault.path}' failed to satisfy constraint: {fault.rule}"
        for fault in faults[:FAULTS_MAX]
    ]
    plural = "s" if len(said) > 1 else ""
    message = f"{len(said)} validation error{plural} detected: {'; '.join(said)}"
    return ValidationFailed(message) if style == "validation" else IamValidationError(message)


def _quoted(fault: Fault) -> str:
    """Print the value; a secret's is left out, as IAM does."""
    if fault.secret:
        return ""
    if fault.value is None:
        return " null"
    text = f"[{', '.join(map(str, fault.value[:20]))}]" if isinstance(fault.value, list) else str(fault.value)
    return f" '{text[:QUOTED_CHARS_MAX]}'"
