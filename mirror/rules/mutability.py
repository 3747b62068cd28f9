"""Which tags of a repository may move, and which settings may say so.

Source: ECR guide, "Preventing image tags from being overwritten"; ECR.md 2.7. A filter is a glob over the whole tag in
which only `*` is special. Pure.
"""

import re
from collections.abc import Sequence
from typing import Final

from mirror.aws.errors import InvalidParameter, constraint
from mirror.rules.globs import matches

MUTABLE: Final = "MUTABLE"
IMMUTABLE: Final = "IMMUTABLE"
MUTABLE_WITH_EXCLUSION: Final = "MUTABLE_WITH_EXCLUSION"
IMMUTABLE_WITH_EXCLUSION: Final = "IMMUTABLE_WITH_EXCLUSION"
MUTABILITIES: Final = (MUTABLE, IMMUTABLE, MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION)
FILTERS_MAX: Final = 5  # ECR model: ImageTagMutabilityExclusionFilters

_WITH_EXCLUSION: Final = (MUTABLE_WITH_EXCLUSION, IMMUTABLE_WITH_EXCLUSION)
_FILTER: Final = re.compile(r"[0-9a-zA-Z._*-]{1,128}")
_FILTERS_FIELD: Final = "imageTagMutabilityExclusionFilters"


def check_settings(mutability: str, filters: Sequence[str]) -> None:
    """Raise InvalidParameter unless these two settings go together."""
    if mutability not in MUTABILITIES:
        known = ", ".join(f"'{word}'" for word in MUTABILITIES)
        raise InvalidParameter(
            f"Invalid parameter at 'imageTagMutability' failed to satisfy constraint: must be one of {known}"
        )
    if mutability in _WITH_EXCLUSION:
        _check_filters(mutability, filters)
    elif filters:
        raise constraint(
            _FILTERS_FIELD,
            f"ImageTagMutabilityExclusionFilters must be null when imageTagMutability is set as {mutability}",
        )


def _check_filters(mutability: str, filters: Sequence[str]) -> None:
    if not filters:
        raise constraint(
            _FILTERS_FIELD,
            f"ImageTagMutabilityExclusionFilters can't be null when imageTagMutability is set as {mutability}",
        )
    if len(filters) > FILTERS_MAX:
        raise constraint(_FILTERS_FIELD, f"Member must have length less than or equal to {FILTERS_MAX}")
    if not all(_FILTER.fullmatch(glob) for glob in filters):
        raise constraint(_FILTERS_FIELD, f"Member must satisfy regular expression pattern: ^{_FILTER.pattern}$")


def is_immutable(mutability: str, filters: Sequence[str], tag: str) -> bool:
    """Tell whether `tag`, once given, may not be moved to another digest."""
    excluded = mutability in _WITH_EXCLUSION and matches(filters, tag)
    return (mutability in (IMMUTABLE, IMMUTABLE_WITH_EXCLUSION)) != excluded
