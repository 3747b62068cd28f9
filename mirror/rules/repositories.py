"""What a repository is set to, and what it may be called.

Source: ECR API reference, CreateRepository, of both services; ECR.md 1.3 and appendix A. Pure.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from mirror.aws.errors import InvalidParameter, constraint

NAME_CHARS_MIN: Final = 2
PRIVATE_NAME_CHARS_MAX: Final = 256  # ecr model, RepositoryName
PUBLIC_NAME_CHARS_MAX: Final = 205  # ecr-public model, RepositoryName
AES256: Final = "AES256"

# Both services print this grammar when they refuse; the private one takes `__` and runs of `-` besides.
_PRINTED: Final = r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*"
_PUBLIC: Final = re.compile(_PRINTED)
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PRIVATE: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")


class RepositorySettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a repository was created with or set to since; its name and its registry are the key, not here.

    `created_at` is in unix seconds; `exclusions` are the filters of `mutability`; `kms_key` belongs to an `encryption`
    other than AES256; `policy` is the text of the repository policy as it was put, or "".
    """

    created_at: float
    mutability: str = "MUTABLE"
    exclusions: tuple[str, ...] = ()
    scan_on_push: bool = False
    encryption: str = AES256
    kms_key: str = ""
    tags: dict[str, str] = {}
    policy: str = ""


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(RepositorySettings)


def encode(settings: RepositorySettings) -> bytes:
    """Write settings as they are stored."""
    return _ENCODER.encode(settings)


def read_settings(data: bytes) -> RepositorySettings:
    """Read what `encode` wrote; nothing reads as the defaults. Raises msgspec.DecodeError."""
    return _DECODER.decode(data) if data else RepositorySettings(0.0)


def check_private_name(name: str) -> None:
    """Raise InvalidParameter unless `name` may be a repository of a private registry."""
    _check_name(name, _PRIVATE, PRIVATE_NAME_CHARS_MAX)


def check_public_name(name: str) -> None:
    """Raise InvalidParameter unless `name` may be a repository of a public registry."""
    _check_name(name, _PUBLIC, PUBLIC_NAME_CHARS_MAX)


def is_private_name(name: str) -> bool:
    """Tell whether `name` may be a repository of a private registry: only those are looked up."""
    return _is_accepted(check_private_name, name)


def is_public_name(name: str) -> bool:
    """Tell whether `name` may be a repository of a public registry."""
    return _is_accepted(check_public_name, name)


def _is_accepted(check: Callable[[str], None], name: str) -> bool:
    try:
        check(name)
    except InvalidParameter:
        return False
    return True


def _check_name(name: str, grammar: re.Pattern[str], chars_max: int) -> None:
    # The length first: it bounds what the pattern is tried on.
    if len(name) < NAME_CHARS_MIN:
        raise _invalid(f"Member must have length greater than or equal to {NAME_CHARS_MIN}")
    if len(name) > chars_max:
        raise _invalid(f"Member must have length less than or equal to {chars_max}")
    if not grammar.fullmatch(name):
        # One quote is missing at the end: so does ECR.
        raise _invalid(f"must satisfy regular expression '{_PRINTED}")


def _invalid(text: str) -> InvalidParameter:
    return constraint("repositoryName", text)
