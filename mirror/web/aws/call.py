"""A call: who asks which operation with what, as the handlers of all four APIs see it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mirror.aws.principals import Principal

Service = Literal["ecr", "ecr-public", "iam", "sts"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was proved and validated. `input` has the model's members, blobs as bytes, nulls left out."""

    service: Service
    operation: str
    principal: Principal
    input: Mapping[str, Any]
    request_id: str
    source_ip: str
    user_agent: str
    secure: bool
    region: str
    key_id: str = ""


# A handler returns the members of the output as the model names them: times as unix seconds, blobs as bytes, and None
# for what is absent. It raises RegistryError.
Handler = Callable[[Call], Awaitable[Mapping[str, Any]]]
