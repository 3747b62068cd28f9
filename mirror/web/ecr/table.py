"""The table of ECR's and ECR Public's operations: every one that the service models have, and its handler."""

from collections.abc import Mapping

from mirror.registry.gallery import Gallery
from mirror.registry.public_registries import PublicRegistries
from mirror.web.aws.call import Handler, Service
from mirror.web.ecr.contents import Registries, private_handlers
from mirror.web.ecr.control import Control, control_handlers
from mirror.web.ecr.tokens import AuthorizationTokens
from mirror.web.ecr_public.table import public_handlers


def ecr_table(
    registries: Registries, control: Control, public: PublicRegistries, gallery: Gallery
) -> Mapping[tuple[Service, str], Handler]:
    """Return the handlers of the 62 operations of ECR and the 23 of ECR Public."""
    tokens = AuthorizationTokens(registries.identities, registries.tokens, registries.hosts)
    return {
        **private_handlers(registries),
        **control_handlers(registries, control),
        **public_handlers(registries, public, gallery),
        **tokens.handlers(),
    }
