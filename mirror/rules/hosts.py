"""Hosts: which registry a host name means, and how a registry is called.

Source: ECR guide, "Private registry authentication" (`<account>.dkr.ecr.<region>.amazonaws.com` and its dual-stack and
FIPS forms); ECR.md 3.2. Only names of the configuration mean anything; whatever else a client writes into Host is the
home registry, and no answer repeats it. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mirror.oci.names import Registry

Login = Literal["auto", "basic", "token"]
Plane = Literal["private", "public"]

_PORT: Final = re.compile(r":[0-9]{1,5}$")


@dataclass(frozen=True, slots=True)
class Place:
    """What a host name means: a private registry, or, with no registry, all public ones (a name begins with an alias).

    `login` says how it asks for credentials, `service` what it calls itself when it does.
    """

    registry: Registry | None
    login: Login
    service: str
    by_name: bool = True  # the host says so; else it is any name, and means the home registry

    @property
    def public(self) -> bool:
        return self.registry is None


@dataclass(frozen=True, slots=True)
class NamedHost:
    """One `[[host]]` of the configuration, its account filled in."""

    name: str
    account: str
    plane: Plane
    login: Login


class Hosts:
    """The host names of the node. `scheme` and `port` (0: the scheme's own) are those that clients use."""

    def __init__(
        self,
        home: Registry,
        region: str,
        domain: str,
        *,
        login: Login = "auto",
        named: Sequence[NamedHost] = (),
        home_host: str = "",
        scheme: str = "http",
        port: int = 0,
    ) -> None:
        """`home_host`: the name by which clients call the home registry, where it is not one under `domain`."""
        self.home = home
        self.region = region
        self.domain = domain
        self.scheme = scheme
        self.port = port
        self._home_host = home_host
        self._login = login
        self._named = {host.name: host for host in named}
        escaped = re.escape(domain)
        self._private = re.compile(rf"([0-9]{{12}})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.{escaped}")
        self._public = f"public.{domain}"

    def place(self, host: str) -> Place | None:
        """Say what a Host header means; None where it has the form of a registry's name and is none of this node."""
        name = _PORT.sub("", host.lower()).rstrip(".")
        named = self._named.get(name)
        if named is not None:
            registry = Registry(named.account) if named.plane == "private" else None
            return Place(registry, "token" if registry is None else named.login, _service(registry, named.login, name))
        if name == self._public:
            return Place(None, "token", name)
        match = self._private.fullmatch(name)
        if match is not None:
            here = match[2] == self.region
            return Place(Registry(match[1]), "basic", "ecr.amazonaws.com") if here else None
        return Place(self.home, self._login, _service(self.home, self._login, "mirror"), by_name=False)

    def host(self, registry: Registry) -> str:
        """Return the host, with its port where it has one, by which clients call a registry: `repositoryUri`'s."""
        if registry.public:
            name = next((host.name for host in self._named.values() if host.plane == "public"), self._public)
        elif registry == self.home and self._home_host:
            name = self._home_host
        else:
            name = f"{registry.account}.dkr.ecr.{self.region}.{self.domain}"
        return f"{name}:{self.port}" if self.port else name

    def endpoint(self, registry: Registry) -> str:
        """Return the address of a registry, without a slash at its end."""
        return f"{self.scheme}://{self.host(registry)}"


def _service(registry: Registry | None, login: Login, name: str) -> str:
    """ECR's private registries call themselves by AWS's name, which some clients look for."""
    return "ecr.amazonaws.com" if registry is not None and login != "token" else name
