"""The actions that policies name: every operation of the APIs here, and what the docker protocol's steps need.

Source: ECR and ECR Public API references (botocore 1.44.5), service authorization reference; the steps are ECR.md 2.1,
"Action map". Names are in their canonical case: `ecr:BatchGetImage`; only patterns in policies fold case. Pure.
"""

from collections.abc import Mapping
from typing import Final, Literal

from mirror.rules.access.wildcards import compile_pattern

Step = Literal[
    "get_manifest",
    "get_blob",
    "head_blob",
    "start_upload",
    "append_upload",
    "finish_upload",
    "mount_source",
    "put_manifest",
    "list_tags",
    "list_repositories",
    "list_referrers",
    "delete_manifest",
]


def _names(service: str, text: str) -> frozenset[str]:
    return frozenset(f"{service}:{name}" for name in text.split())


ECR_OPERATIONS: Final = _names(
    "ecr",
    """
    BatchCheckLayerAvailability BatchDeleteImage BatchGetImage BatchGetRepositoryScanningConfiguration
    CompleteLayerUpload CreatePullThroughCacheRule CreateRepository CreateRepositoryCreationTemplate
    DeleteLifecyclePolicy DeletePullThroughCacheRule DeleteRegistryPolicy DeleteRepository
    DeleteRepositoryCreationTemplate DeleteRepositoryPolicy DeleteSigningConfiguration
    DeregisterPullTimeUpdateExclusion DescribeImageReplicationStatus DescribeImageScanFindings
    DescribeImageSigningStatus DescribeImages DescribePullThroughCacheRules DescribeRegistry
    DescribeReplicationBackfillResults DescribeRepositories DescribeRepositoryCreationTemplates GetAccountSetting
    GetAuthorizationToken GetDownloadUrlForLayer GetLifecyclePolicy GetLifecyclePolicyPreview GetRegistryPolicy
    GetRegistryScanningConfiguration GetRepositoryPolicy GetSigningConfiguration InitiateLayerUpload
    ListImageReferrers ListImages ListPullTimeUpdateExclusions ListReplicationBackfills ListTagsForResource
    PutAccountSetting PutImage PutImageScanningConfiguration PutImageTagMutability PutLifecyclePolicy
    PutRegistryPolicy PutRegistryScanningConfiguration PutReplicationConfiguration PutSigningConfiguration
    RegisterPullTimeUpdateExclusion SetRepositoryPolicy StartImageScan StartLifecyclePolicyPreview
    StartReplicationBackfill StopReplicationBackfill TagResource UntagResource UpdateImageStorageClass
    UpdatePullThroughCacheRule UpdateRepositoryCreationTemplate UploadLayerPart ValidatePullThroughCacheRule
    """,
)
ECR_PUBLIC_OPERATIONS: Final = _names(
    "ecr-public",
    """
    BatchCheckLayerAvailability BatchDeleteImage CompleteLayerUpload CreateRepository DeleteRepository
    DeleteRepositoryPolicy DescribeImageTags DescribeImages DescribeRegistries DescribeRepositories
    GetAuthorizationToken GetRegistryCatalogData GetRepositoryCatalogData GetRepositoryPolicy InitiateLayerUpload
    ListTagsForResource PutImage PutRegistryCatalogData PutRepositoryCatalogData SetRepositoryPolicy TagResource
    UntagResource UploadLayerPart
    """,
)
IAM_OPERATIONS: Final = _names(
    "iam",
    """
    AttachRolePolicy AttachUserPolicy CreateAccessKey CreateAccountAlias CreateLoginProfile CreatePolicy CreateRole
    CreateUser DeleteAccessKey DeleteAccountAlias DeleteLoginProfile DeletePolicy DeleteRole DeleteRolePolicy DeleteUser
    DeleteUserPolicy DetachRolePolicy DetachUserPolicy GetLoginProfile GetPolicy GetPolicyVersion GetRole GetRolePolicy
    GetUser GetUserPolicy ListAccessKeys ListAccountAliases ListAttachedRolePolicies ListAttachedUserPolicies
    ListPolicies ListRolePolicies ListRoles ListUserPolicies ListUsers PutRolePolicy PutUserPolicy UpdateAccessKey
    UpdateAssumeRolePolicy UpdateLoginProfile
    """,
)
STS_OPERATIONS: Final = _names("sts", "AssumeRole GetCallerIdentity GetServiceBearerToken GetSessionToken TagSession")

# Rights that no operation is named after.
ECR_PERMISSIONS: Final = _names("ecr", "ReplicateImage BatchImportUpstreamImage GetImageCopyStatus")
# What everybody may do in a public repository, whatever policies say. None is an operation of ecr-public.
PUBLIC_PULLS: Final = _names("ecr-public", "BatchGetImage GetDownloadUrlForLayer ListImages")

ECR_ACTIONS: Final = ECR_OPERATIONS | ECR_PERMISSIONS
ECR_PUBLIC_ACTIONS: Final = ECR_PUBLIC_OPERATIONS | PUBLIC_PULLS
KNOWN: Final = ECR_ACTIONS | ECR_PUBLIC_ACTIONS | IAM_OPERATIONS | STS_OPERATIONS
REGISTRY_V1_ACTIONS: Final = _names("ecr", "ReplicateImage BatchImportUpstreamImage CreateRepository")
TRUST_ACTIONS: Final = _names("sts", "AssumeRole TagSession")

# Operations that are not about a repository: their resource is `*` (ECR.md 2.1, "without resource-level control").
WITHOUT_RESOURCE: Final = (
    _names("ecr", "GetAuthorizationToken DescribeRegistry PutReplicationConfiguration")
    | _names("ecr", "PutRegistryPolicy GetRegistryPolicy DeleteRegistryPolicy")
    | _names("ecr", "PutSigningConfiguration GetSigningConfiguration DeleteSigningConfiguration")
    | _names("ecr", "PutRegistryScanningConfiguration GetRegistryScanningConfiguration")
    | _names("ecr", "PutAccountSetting GetAccountSetting")
    | frozenset(name for name in ECR_OPERATIONS if "PullThroughCacheRule" in name)
    | frozenset(name for name in ECR_OPERATIONS if "RepositoryCreationTemplate" in name)
    | frozenset(name for name in ECR_OPERATIONS if "ReplicationBackfill" in name)
    | frozenset(name for name in ECR_OPERATIONS if "PullTimeUpdateExclusion" in name)
    | _names("ecr-public", "GetAuthorizationToken")
    | _names("sts", "GetCallerIdentity GetServiceBearerToken GetSessionToken")
)

# Decided by identity policies alone (ECR.md 2.1, evaluation step 2); a trust policy has its say on sts:AssumeRole.
IDENTITY_ONLY: Final = (
    _names("ecr", "GetAuthorizationToken") | _names("ecr-public", "GetAuthorizationToken") | STS_OPERATIONS
)

# The way back for the root of an account whose resource policy denies everything to everybody.
ROOT_ALWAYS: Final = (
    _names("ecr", "GetRepositoryPolicy SetRepositoryPolicy DeleteRepositoryPolicy")
    | _names("ecr", "GetRegistryPolicy PutRegistryPolicy DeleteRegistryPolicy")
    | _names("ecr-public", "GetRepositoryPolicy SetRepositoryPolicy DeleteRepositoryPolicy")
)

_READING: Final = ("Get", "Describe", "List", "BatchGet", "BatchCheck", "Validate")
READ_ONLY: Final = frozenset(name for name in KNOWN if name.partition(":")[2].startswith(_READING))

# A step needs all of its actions. A mount needs `start_upload` on its target and `mount_source` on its source.
DATA_PLANE: Final[Mapping[Step, tuple[str, ...]]] = {
    "get_manifest": ("ecr:BatchGetImage",),
    "get_blob": ("ecr:GetDownloadUrlForLayer",),
    "head_blob": ("ecr:BatchCheckLayerAvailability",),
    "start_upload": ("ecr:InitiateLayerUpload",),
    "append_upload": ("ecr:UploadLayerPart",),
    "finish_upload": ("ecr:CompleteLayerUpload",),
    "mount_source": ("ecr:GetDownloadUrlForLayer",),
    "put_manifest": ("ecr:PutImage",),
    "list_tags": ("ecr:ListImages",),
    "list_repositories": ("ecr:DescribeRepositories",),
    "list_referrers": ("ecr:BatchGetImage",),
    "delete_manifest": ("ecr:BatchDeleteImage",),
}
# What some steps need besides: a pull-through repository that has to ask upstream, or a name that is not there yet.
IMPORT_ACTION: Final = "ecr:BatchImportUpstreamImage"
CREATE_ACTION: Final = "ecr:CreateRepository"
TAG_ACTION: Final = "ecr:TagResource"

_PUBLIC_DATA_PLANE: Final[Mapping[Step, tuple[str, ...]]] = {
    step: tuple(name.replace("ecr:", "ecr-public:") for name in names) for step, names in DATA_PLANE.items()
} | {"head_blob": ("ecr-public:GetDownloadUrlForLayer",)}  # of the public service the other one is a pusher's right
# By service, then by lower-case name: a policy of 10,240 characters can hold nine hundred patterns.
_FOLDED: Final = {
    service: {name.partition(":")[2].lower(): name for name in KNOWN if name.startswith(f"{service}:")}
    for service in ("ecr", "ecr-public", "iam", "sts")
}
assert {name for names in DATA_PLANE.values() for name in names} <= ECR_ACTIONS
assert {name for names in _PUBLIC_DATA_PLANE.values() for name in names} <= ECR_PUBLIC_ACTIONS
assert WITHOUT_RESOURCE | IDENTITY_ONLY | ROOT_ALWAYS <= KNOWN


def step_actions(step: Step, *, public: bool) -> tuple[str, ...]:
    """Name the actions that a step of the docker protocol needs, in a private or a public registry."""
    return (_PUBLIC_DATA_PLANE if public else DATA_PLANE)[step]


def matching(pattern: str) -> frozenset[str]:
    """Return the known actions that a pattern of a policy means, `ecr:batch*` or `*`; case does not matter."""
    folded = pattern.lower()
    service, _, name = folded.partition(":")
    if folded == "*":
        return KNOWN
    names = _FOLDED.get(service, {})
    if "*" not in name and "?" not in name:
        return frozenset((names[name],)) if name in names else frozenset()
    compiled = compile_pattern(name)
    return frozenset(action for known, action in names.items() if compiled.matches(known))
