"""Parsed policies, remembered by their texts: so many characters of them, however many texts that is.

What a policy takes in memory grows with its text (some fifteen times that), and texts are what tenants choose.
"""

from typing import Final

from mirror.rules.access import Policy, PolicyKind, parse_policy

CHARS_MAX: Final = 4 * 1024 * 1024  # 400 of the longest repository policies, 4,000 usual ones; some 60 MiB


class ParsedPolicies:
    """A memory of policies; emptied when it is full."""

    def __init__(self, chars_max: int = CHARS_MAX) -> None:
        self._chars_max = chars_max
        self._chars = 0
        self._known: dict[tuple[str, PolicyKind], Policy] = {}

    def get(self, text: str, kind: PolicyKind) -> Policy:
        """Return the policy of this kind that `text` is. Raises PolicyInvalid."""
        known = self._known.get((text, kind))
        if known is None:
            known = parse_policy(text, kind)
            if self._chars + len(text) > self._chars_max:
                self._known.clear()
                self._chars = 0
            self._known[text, kind] = known
            self._chars += len(text)
        return known
