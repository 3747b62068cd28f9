"""Who may do what. Until there are accounts: what anybody may do, as the configuration says. Pure."""

from collections.abc import Set as AbstractSet
from typing import Literal

from mirror.oci.errors import Denied

Action = Literal["pull", "push", "delete"]


def check_anonymous(allowed: AbstractSet[str], action: Action) -> None:
    """Raise Denied unless anonymous callers may do `action`."""
    if action not in allowed:
        raise Denied(f"{action} is not allowed to anonymous callers; the node's [access] anonymous setting decides")
