"""The scope of a call: whose registry it is about, and what the request says of itself."""

import time

from mirror.oci.names import Registry
from mirror.registry.authority import Circumstances
from mirror.web.aws.call import Call


def registry_of(call: Call) -> Registry:
    """Return the private registry that a call is about: the caller's own, unless it names another."""
    return Registry(call.input.get("registryId") or call.principal.account)


def circumstances(call: Call) -> Circumstances:
    """Return what conditions of policies may look at."""
    return Circumstances(call.source_ip, call.user_agent, call.secure, time.time())
