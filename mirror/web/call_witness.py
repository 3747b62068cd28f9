"""The witness of the AWS APIs: tells the audit of every call, under the name of its operation.

Source: ECR.md 6.2. What is kept of a call's parameters is the audit's to say.
"""

from collections.abc import Callable, Sequence
from typing import Final

from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry
from mirror.registry.audit import Audit
from mirror.rules.access.actions import READ_ONLY
from mirror.web.aws.call import Call

_READING: Final = ("Get", "List", "Describe")  # of operations that no policy names


class CallWitness:
    """Sees each call of the AWS APIs once it is over. `resources` names what it was about, as ARNs."""

    def __init__(self, audit: Audit, resources: Callable[[Call], Sequence[str]]) -> None:
        self._audit = audit
        self._resources = resources

    def __call__(self, call: Call, error: RegistryError | None) -> None:
        """Take note of a call and its end."""
        read_only = f"{call.service}:{call.operation}" in READ_ONLY or call.operation.startswith(_READING)
        if read_only and error is None:
            return
        is_public = call.service == "ecr-public"
        registry = Registry(str(call.input.get("registryId") or call.principal.account), is_public)
        self._audit.note(
            event_name=call.operation,
            principal=call.principal,
            registry=registry,
            source_ip=call.source_ip,
            user_agent=call.user_agent,
            request_id=call.request_id,
            parameters=call.input,
            error=error,
            resources=[arn for arn in self._resources(call) if arn.startswith("arn:")] if call.input else [],
            read_only=read_only,
            service=call.service,
            access_key_id=call.key_id,
        )
