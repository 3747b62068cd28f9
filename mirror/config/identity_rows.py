"""Rows of iam.toml: tables of a document, read key by key, every fault noted with its place.

Never: the value of a key in a fault, where it may be a secret.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mirror.aws.arns import ACCOUNT
from mirror.aws.errors import IamValidationError
from mirror.config.faults import Faults, nearest
from mirror.config.words import said
from mirror.rules.access import PolicyInvalid, PolicyKind, parse_policy

NO_PASSWORDS: Final = "a password never stands in this file: write it into one of its own and name that password_file"


@dataclass(frozen=True, slots=True)
class Row:
    """A table of the document, read key by key; what is wrong is noted, and read as if it were not there."""

    values: Mapping[str, Any]
    where: str
    faults: Faults

    def wrong(self, key: str, message: str) -> None:
        self.faults.add(f"{self.where}.{key}", message)

    def text(self, key: str, *, required: bool = False, lines: bool = False) -> str:
        """Read a text; only one of several `lines` may have line ends."""
        value = self.values.get(key)
        if value is None:
            if required:
                self.wrong(key, "is required")
            return ""
        if not isinstance(value, str):
            self.wrong(key, f"a text is wanted, not {said(value)}")
        elif not lines and not value.isprintable():
            self.wrong(key, "the text has a control character")
        elif required and not value:
            self.wrong(key, "is required")
        else:
            return value
        return ""

    def read(self, key: str, grammar: Callable[[str], str], *, required: bool = True, default: str = "") -> str:
        """Read a text by one of IAM's grammars."""
        text = self.text(key, required=required)
        if text:
            try:
                return grammar(text)
            except IamValidationError as error:
                self.wrong(key, error.message)
        return default

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.wrong(key, "a list of texts is wanted")
        return ()

    def rows(self, key: str, known: frozenset[str]) -> Iterator["Row"]:
        """Read a list of tables with these keys."""
        value = self.values.get(key, [])
        where = f"{self.where}.{key}" if self.where else key
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.faults.add(where, f"a list of tables is wanted, not {said(value)}")
            return
        for at, item in enumerate(value):
            row = Row(item, f"{where}[{at}]", self.faults)
            for word in item:
                if word not in known:
                    row.wrong(word, NO_PASSWORDS if word == "password" else f"unknown key{nearest(word, known)}")
            yield row

    def account(self, key: str = "account") -> str:
        text = self.text(key, required=True)
        if text and not ACCOUNT.fullmatch(text):
            self.wrong(key, f"{text!r} is not an account of twelve digits")
            return ""
        return text

    def policy(self, key: str, kind: PolicyKind) -> str:
        """Read the text of a policy."""
        text = self.text(key, required=True, lines=True)
        if text:
            try:
                parse_policy(text, kind)
            except PolicyInvalid as error:
                self.wrong(key, f"not a policy: {error}")
        return text
