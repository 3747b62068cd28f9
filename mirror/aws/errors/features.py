"""Refusals about the features around images: lifecycle, scans, replication, signing, caching, templates. Pure."""

from mirror.aws.errors.kinds import AwsError


class LifecyclePolicyPreviewNotFound(AwsError):
    aws = "LifecyclePolicyPreviewNotFoundException"


class LifecyclePolicyPreviewInProgress(AwsError):
    aws = "LifecyclePolicyPreviewInProgressException"


class ScanNotFound(AwsError):
    aws = "ScanNotFoundException"


class UnsupportedImageType(AwsError):
    aws = "UnsupportedImageTypeException"


class ReplicationBackfillNotFound(AwsError):
    aws = "ReplicationBackfillNotFoundException"


class ReplicationBackfillInProgress(AwsError):
    aws = "ReplicationBackfillInProgressException"


class ReplicationBackfillInvalidStatus(AwsError):
    aws = "ReplicationBackfillInvalidStatusException"


class SigningConfigurationNotFound(AwsError):
    aws = "SigningConfigurationNotFoundException"


class ExclusionAlreadyExists(AwsError):
    aws = "ExclusionAlreadyExistsException"


class ExclusionNotFound(AwsError):
    aws = "ExclusionNotFoundException"


# Pull-through cache and templates.


class PullThroughCacheRuleAlreadyExists(AwsError):
    aws = "PullThroughCacheRuleAlreadyExistsException"


class PullThroughCacheRuleNotFound(AwsError):
    aws = "PullThroughCacheRuleNotFoundException"


class UnsupportedUpstreamRegistry(AwsError):
    aws = "UnsupportedUpstreamRegistryException"


class SecretNotFound(AwsError):
    aws = "SecretNotFoundException"


class UnableToAccessSecret(AwsError):
    aws = "UnableToAccessSecretException"


class UnableToDecryptSecretValue(AwsError):
    aws = "UnableToDecryptSecretValueException"


class UnableToGetUpstreamImage(AwsError):
    aws = "UnableToGetUpstreamImageException"


class UnableToGetUpstreamLayer(AwsError):
    aws = "UnableToGetUpstreamLayerException"


class UnableToListUpstreamImageReferrers(AwsError):
    aws = "UnableToListUpstreamImageReferrersException"


class TemplateAlreadyExists(AwsError):
    aws = "TemplateAlreadyExistsException"


class TemplateNotFound(AwsError):
    aws = "TemplateNotFoundException"


# The public registry.


class RepositoryCatalogDataNotFound(AwsError):
    aws = "RepositoryCatalogDataNotFoundException"


class UnsupportedCommand(AwsError):
    aws = "UnsupportedCommandException"
