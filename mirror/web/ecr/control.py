"""What ECR does with registries and repositories themselves: settings, policies, rules, configurations.

The list of handlers stands here; what each needs is given by whoever builds the node.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mirror.registry.account_settings import AccountSettings
from mirror.registry.configurations import Configurations
from mirror.registry.creation_templates import CreationTemplates
from mirror.registry.exclusions import Exclusions
from mirror.registry.policies import RegistryPolicies, RepositoryPolicies
from mirror.registry.pullthrough import PullThrough
from mirror.registry.scans import Scans
from mirror.store.documents import Documents
from mirror.web.aws.call import Handler, Service
from mirror.web.ecr.contents import Registries
from mirror.web.ecr.exclusions import PullTimeExclusions
from mirror.web.ecr.policies import Policies, RegistrySettings
from mirror.web.ecr.pullthrough import PullThroughRules
from mirror.web.ecr.replication import Replication
from mirror.web.ecr.repositories import PrivateRepositories
from mirror.web.ecr.resource_tags import ResourceTags
from mirror.web.ecr.scanning import Scanning
from mirror.web.ecr.scope import registry_of
from mirror.web.ecr.shapes import Shapes
from mirror.web.ecr.signing import Signing
from mirror.web.ecr.single_images import SingleImages
from mirror.web.ecr.subjects import Subjects
from mirror.web.ecr.templates import Templates


@dataclass(frozen=True, slots=True)
class Control:
    """What the control plane works on."""

    region: str
    settings: AccountSettings
    exclusions: Exclusions
    repository_policies: RepositoryPolicies
    registry_policies: RegistryPolicies
    templates: CreationTemplates
    configurations: Configurations
    scans: Scans
    rules: PullThrough


def control_over(registries: Registries, documents: Documents, rules: PullThrough, region: str) -> Control:
    """Build the control plane over registries; all that it keeps are `documents`."""
    configurations = Configurations(documents, region)
    return Control(
        region=region,
        settings=AccountSettings(documents),
        exclusions=Exclusions(documents),
        repository_policies=RepositoryPolicies(registries.repositories, registries.authority),
        registry_policies=RegistryPolicies(documents),
        templates=CreationTemplates(documents),
        configurations=configurations,
        scans=Scans(registries.catalog, registries.repositories, configurations),
        rules=rules,
    )


def control_handlers(registries: Registries, control: Control) -> Mapping[tuple[Service, str], Handler]:
    """Return the handlers of ECR's operations on registries and repositories themselves."""
    repositories = registries.repositories
    subjects = Subjects(repositories, registry_of)
    shapes = Shapes(repositories, registries.hosts, control.region)
    images = SingleImages(subjects, registries.index, registries.images)
    configurations = control.configurations
    return {
        **PrivateRepositories(subjects, repositories, registries.routing, shapes).handlers(),
        **Policies(subjects, control.repository_policies).handlers(),
        **RegistrySettings(control.registry_policies, control.settings).handlers(),
        **ResourceTags(repositories, control.region).handlers(),
        **PullTimeExclusions(control.exclusions).handlers(),
        **Replication(images, configurations, registries.replications, registries.backfills).handlers(),
        **Scanning(images, repositories, configurations, control.scans, shapes).handlers(),
        **Signing(images, configurations).handlers(),
        **Templates(control.templates).handlers(),
        **PullThroughRules(control.rules).handlers(),
    }
