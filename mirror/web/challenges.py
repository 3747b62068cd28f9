"""Challenges: how a registry asks for a credential.

Source: ECR.md 3.3 and 3.4 (Basic with a plain text body for private registries, Bearer for public ones); RFC 7235;
distribution "Token Authentication Specification".
"""

from collections.abc import Mapping
from typing import ClassVar, Final

from mirror.oci.errors import Unauthorized
from mirror.oci.paths import Route
from mirror.rules.access.actions import Step
from mirror.rules.hosts import Hosts, Place
from mirror.web.visit import SCOPE_ACTIONS

PUBLIC_SCOPE: Final = "aws"


class NotAuthorized(Unauthorized):
    """ECR's own 401: its clients know it by its text, which is no JSON."""

    text: ClassVar[bytes] = b"Not Authorized\n"


class Challenges:
    """Writes challenges. `public_url` is what clients call a node whose host names say nothing."""

    def __init__(self, hosts: Hosts, public_url: str) -> None:
        self._hosts = hosts
        self._public_url = public_url

    def refusal(self, place: Place, message: str, route: Route | None = None, step: Step | None = None) -> Unauthorized:
        """Return the 401 that asks for a credential, or for a better one."""
        headers = self.headers(place, route, step)
        if place.login == "basic":
            return NotAuthorized(message, headers=headers)
        return Unauthorized(message, headers=headers)

    def headers(self, place: Place, route: Route | None = None, step: Step | None = None) -> Mapping[str, str]:
        if place.login != "token":
            return {"WWW-Authenticate": f'Basic realm="{self.address(place)}/",service="{place.service}"'}
        scope = PUBLIC_SCOPE if place.public else _scope(route, step)
        asked = f',scope="{scope}"' if scope else ""
        return {"WWW-Authenticate": f'Bearer realm="{self.address(place)}/token/",service="{place.service}"{asked}'}

    def address(self, place: Place) -> str:
        """Return the address by which the clients of a place call it, from the configuration, never from Host."""
        if place.by_name and place.login == "token":
            port = f":{self._hosts.port}" if self._hosts.port else ""
            return f"{self._hosts.scheme}://{place.service}{port}"
        if not place.by_name and self._public_url:
            return self._public_url
        return self._hosts.endpoint(place.registry or self._hosts.home)


def _scope(route: Route | None, step: Step | None) -> str:
    if route is None or not route.name or step is None:
        return ""
    action = SCOPE_ACTIONS.get(step, "pull")
    return f"repository:{route.name}:{'pull,push' if action == 'push' else action}"
