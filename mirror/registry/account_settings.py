"""Account settings: three switches of a registry, by name.

Source: ECR API reference, PutAccountSetting; ECR.md 2.2, "Account settings". What is told is what is in force here:
blobs can be mounted until a registry says no, where ECR has it the other way round.
"""

from collections.abc import Mapping
from typing import Final

from mirror.aws.errors import ValidationFailed
from mirror.oci.names import Registry
from mirror.store.documents import Documents, Edit

ACCOUNT_SETTING: Final = "account.setting"  # the kind of document; its name is the setting's
SCOPE: Final = "REGISTRY_POLICY_SCOPE"
BLOB_MOUNTING: Final = "BLOB_MOUNTING"
BASIC_SCAN_TYPE: Final = "BASIC_SCAN_TYPE_VERSION"

# The values that there are, the one that holds unless another was put first.
VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    BASIC_SCAN_TYPE: ("AWS_NATIVE",),
    SCOPE: ("V2", "V1"),
    BLOB_MOUNTING: ("ENABLED", "DISABLED"),
}


class AccountSettings:
    """The settings of all registries."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, registry: Registry, name: str) -> str:
        """Return the value that holds. Raises ValidationFailed for an unknown name."""
        values = _values(name)
        found = self._documents.get(registry, ACCOUNT_SETTING, name)
        return values[0] if found is None else found.decode()

    async def put(self, registry: Registry, name: str, value: str) -> None:
        """Set a value. Raises ValidationFailed for an unknown name or value."""
        if value not in _values(name):
            raise ValidationFailed(f"The value of {name} must be one of {', '.join(VALUES[name])}")
        await self._documents.write([Edit(registry, ACCOUNT_SETTING, name, value.encode())])


def _values(name: str) -> tuple[str, ...]:
    values = VALUES.get(name)
    if values is None:
        raise ValidationFailed(f"The account setting must be one of {', '.join(VALUES)}")
    return values
