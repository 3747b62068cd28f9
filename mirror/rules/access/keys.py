"""Condition keys: what a policy may ask about a request.

Source: ECR guide, "Condition keys" (service authorization reference); IAM guide, "AWS global condition context keys".
Keys have no case: here they are lower-case. The tags of a repository have three names that mean the same; a request's
context knows them as `aws:resourcetag/<key>` only. Pure.
"""

from typing import Final

RESOURCE_TAG: Final = "aws:resourcetag/"
_FAMILIES: Final = {
    RESOURCE_TAG: RESOURCE_TAG,
    "ecr:resourcetag/": RESOURCE_TAG,
    "ecr-public:resourcetag/": RESOURCE_TAG,
    "aws:requesttag/": "aws:requesttag/",
    "aws:principaltag/": "aws:principaltag/",
}


def _keys(service: str, names: str) -> frozenset[str]:
    return frozenset(f"{service}:{name}".lower() for name in names.split())


_MANY: Final = _keys("aws", "TagKeys PrincipalOrgPaths CalledVia")  # keys of several values
# Keys that may differ between two requests of one caller for the same action on the same thing.
_VOLATILE: Final = (
    _keys("aws", "SourceIp VpcSourceIp SourceVpc SourceVpce SecureTransport UserAgent Referer CurrentTime EpochTime")
    | _keys("aws", "MultiFactorAuthPresent MultiFactorAuthAge TokenIssueTime SourceArn SourceAccount RequestedRegion")
    | _keys("aws", "TagKeys ViaAWSService CalledVia")
    | _keys("ecr", "AccountSetting")
    | _keys("sts", "ExternalId RoleSessionName")
    | _keys("iam", "AWSServiceName")
)
_LASTING: Final = _keys(
    "aws", "PrincipalArn PrincipalAccount PrincipalOrgID PrincipalOrgPaths PrincipalType UserId UserName"
)
_KEYS: Final = _VOLATILE | _LASTING
assert _KEYS >= _MANY


def read_key(text: str) -> str | None:
    """Read a condition key in any case, `ecr:ResourceTag/env`, as contexts have it; None if there is none such."""
    key = text.lower()
    if key in _KEYS:
        return key
    family, slash, tag = key.partition("/")
    canonical = _FAMILIES.get(family + slash)
    return canonical + tag if canonical and tag else None


def is_volatile(key: str) -> bool:
    """Tell whether a decision on this key (as `read_key` gave it) is good for one request only."""
    return key in _VOLATILE or key.startswith("aws:requesttag/")


def is_single(key: str) -> bool:
    """Tell whether a key has one value at most, as a policy variable must."""
    return key not in _MANY
