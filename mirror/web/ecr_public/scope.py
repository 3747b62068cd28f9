"""Which public registry a call is about: an account's id, for some operations an alias; else the caller's own."""

import re
from collections.abc import Callable
from typing import Final

from mirror.aws.errors import RegistryNotFound, constraint
from mirror.oci.names import Registry
from mirror.registry.public_registries import PublicRegistries
from mirror.web.aws.call import Call

_ALIAS: Final = re.compile(r"[a-z][a-z0-9]+(?:[._-][a-z0-9]+)*")  # ecr-public model, RegistryAliasName

# The operations whose model knows that a registry may not be there; the others miss the repository.
_REGISTRY_NOT_FOUND: Final = frozenset(
    {"BatchCheckLayerAvailability", "CompleteLayerUpload", "InitiateLayerUpload", "PutImage", "UploadLayerPart"}
)


def registries_of(registries: PublicRegistries) -> Callable[[Call], Registry]:
    """Return what finds the registry of a call. It raises RegistryNotFound where the model has it, InvalidParameter."""

    def registry_of(call: Call) -> Registry:
        text = call.input.get("registryId")
        if text is None:
            return Registry(call.principal.account, public=True)
        registry = registries.find(text)
        if registry is not None:
            return registry
        if call.operation in _REGISTRY_NOT_FOUND:
            raise RegistryNotFound(f"The registry with id '{text}' does not exist")
        if not _ALIAS.fullmatch(text):
            raise constraint("registryId", f"must satisfy regular expression '{_ALIAS.pattern}'")
        return Registry(text, public=True)  # nobody's: it has no repositories

    return registry_of
