"""Challenges: what a registry's `WWW-Authenticate` asks for.

Source: RFC 9110 section 11.6.1 and the distribution token specification. Strict on purpose: a header that two readers
could read differently is no challenge at all. Pure.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

CHALLENGE_CHARS_MAX: Final = 4096  # real ones have 100 to 300
PARAMETERS_MAX: Final = 16  # realm, service, scope, error and a few more

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SCHEME: Final = re.compile(rf"({_WORD})(?: +|(?=[ \t]*,)|$)")
_PARAMETER: Final = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:({_WORD})|"((?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*)")')
_COMMA: Final = re.compile(r"[ \t]*(?:,[ \t]*)+|[ \t]*$")
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in: `scheme` in lower case ("basic", "bearer", ...), parameter names in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def realm(self) -> str:
        return self.parameters.get("realm", "")

    @property
    def service(self) -> str:
        return self.parameters.get("service", "")


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read all `WWW-Authenticate` header lines; a line outside the grammar counts for nothing."""
    return [challenge for header in headers for challenge in _parse_line(header)]


def choose(challenges: Iterable[Challenge]) -> Challenge | None:
    """Choose the challenge we can answer: a Bearer with a realm before a Basic, since a token tells less."""
    found = list(challenges)
    bearer = next((challenge for challenge in found if challenge.scheme == "bearer" and challenge.realm), None)
    return bearer or next((challenge for challenge in found if challenge.scheme == "basic"), None)


def _parse_line(line: str) -> list[Challenge]:
    if len(line) > CHALLENGE_CHARS_MAX or not line.isascii():
        return []
    found: list[Challenge] = []
    at = 0
    while at < len(line):
        scheme = _SCHEME.match(line, at)
        if scheme is None:
            return []
        read = _parse_parameters(line, scheme.end())
        if read is None:
            return []
        parameters, at = read
        found.append(Challenge(scheme[1].lower(), parameters))
    return found


def _parse_parameters(line: str, at: int) -> tuple[dict[str, str], int] | None:
    """Read `name=value` pairs up to the next scheme; None when the line is not grammar or a name comes twice."""
    parameters: dict[str, str] = {}
    while (match := _PARAMETER.match(line, at)) is not None:
        name = match[1].lower()
        comma = _COMMA.match(line, match.end())
        if comma is None or name in parameters or len(parameters) == PARAMETERS_MAX:
            return None
        parameters[name] = match[2] if match[2] is not None else _ESCAPED.sub(r"\1", match[3])
        at = comma.end()
    if not parameters and (comma := _COMMA.match(line, at)) is not None:
        at = comma.end()
    return parameters, at
