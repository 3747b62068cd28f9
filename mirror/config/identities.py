"""From the operator's iam.toml to what it declares: accounts, users, roles, policies. Every fault in one pass.

Secrets stand in files of their own, beside this one; a secret in it is taken, with a warning. Relative paths start at
the file's own directory. Never: a secret in a fault or a warning. Blocks.
"""

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mirror.aws.arns import policy_arn
from mirror.config.credentials import DIRECTORY, place_of
from mirror.config.faults import Fault, Faults, nearest
from mirror.config.identity_rows import Row
from mirror.config.read import document_of
from mirror.rules.access import MANAGED_POLICIES
from mirror.rules.identities import (
    ATTACHED_MAX,
    INLINE_CHARS_MAX,
    MANAGED_CHARS_MAX,
    PASSWORD_CHARS_MAX,
    ROLE_SESSION_S_DEFAULT,
    ROLE_SESSION_S_MAX,
    ROOT,
    SECRET_CHARS_MAX,
    SESSION_S_MIN,
    Declared,
    DeclaredAccount,
    DeclaredKey,
    DeclaredPolicy,
    DeclaredRole,
    DeclaredUser,
    HolderKind,
    is_key_id,
    is_secret,
    read_alias,
    read_name,
    read_path,
    read_policy_name,
)

TABLES: Final = ("account", "user", "role", "policy")
SECRET_FILE_BYTES_MAX: Final = 4_096  # more than any secret; a mistaken name must not read a disk image
_ACCOUNT_KEYS: Final = frozenset({"id", "alias"})
_USER_KEYS: Final = frozenset({"account", "name", "path", "access_keys", "password_file", "policies", "inline"})
_ROLE_KEYS: Final = frozenset(
    {"account", "name", "path", "trust", "policies", "inline", "description", "max_session_s"}
)
_POLICY_KEYS: Final = frozenset({"account", "name", "path", "document", "description"})
_KEY_KEYS: Final = frozenset({"id", "secret", "secret_file"})
_INLINE_KEYS: Final = frozenset({"name", "document"})
_ROOT_HAS: Final = "the account itself has no {}: root may do everything, and logs in by access key"


def load_identities(path: Path, credentials: Path = DIRECTORY) -> tuple[Declared, tuple[Fault, ...]]:
    """Read what `path` declares, and warnings about it. Raises ConfigInvalid with every fault found.

    Secrets are in files relative to `path`, or, `credential:NAME`, in `credentials`.
    """
    document, faults = document_of(path)
    reader = _Reader(faults, Faults(str(path), faults.lines), path.absolute().parent, credentials)
    declared = reader.declared(document)
    faults.raise_any()
    return declared, tuple(sorted(reader.warnings.found))


@dataclass(slots=True)
class _Reader:
    faults: Faults
    warnings: Faults
    base: Path
    credentials: Path

    def declared(self, document: Mapping[str, Any]) -> Declared:
        for word in document:
            if word not in TABLES:
                self.faults.add(word, f"unknown key{nearest(word, TABLES)}")
        top = Row(document, "", self.faults)
        accounts = [self._account(row) for row in top.rows("account", _ACCOUNT_KEYS)]
        policies = [self._policy(row) for row in top.rows("policy", _POLICY_KEYS)]
        own = {
            (policy.account, policy.name): policy_arn(policy.account, policy.path, policy.name) for policy in policies
        }
        users = [self._user(row, own) for row in top.rows("user", _USER_KEYS)]
        roles = [self._role(row, own) for row in top.rows("role", _ROLE_KEYS)]
        self._twins("account", [(one.id,) for one in accounts])
        self._twins("policy", [(one.account, one.name.lower()) for one in policies])
        self._twins("user", [(one.account, one.name.lower()) for one in users])
        self._twins("role", [(one.account, one.name.lower()) for one in roles])
        self._twins("account", [(one.alias,) for one in accounts], "alias")
        self._twin_keys(users)
        return Declared(tuple(accounts), tuple(users), tuple(roles), tuple(policies))

    def _account(self, row: Row) -> DeclaredAccount:
        return DeclaredAccount(row.account("id"), row.read("alias", read_alias, required=False))

    def _policy(self, row: Row) -> DeclaredPolicy:
        document = row.policy("document", "identity")
        if len("".join(document.split())) > MANAGED_CHARS_MAX:
            row.wrong("document", f"a managed policy has at most {MANAGED_CHARS_MAX} characters without spaces")
        return DeclaredPolicy(
            row.account(),
            row.read("name", lambda text: read_policy_name("name", text)),
            document,
            row.read("path", read_path, required=False, default="/"),
            row.text("description"),
        )

    def _role(self, row: Row, own: Mapping[tuple[str, str], str]) -> DeclaredRole:
        account = row.account()
        lasts_s = row.values.get("max_session_s", ROLE_SESSION_S_DEFAULT)
        if type(lasts_s) is not int or not SESSION_S_MIN <= lasts_s <= ROLE_SESSION_S_MAX:
            row.wrong("max_session_s", f"a number of seconds from {SESSION_S_MIN} to {ROLE_SESSION_S_MAX} is wanted")
            lasts_s = ROLE_SESSION_S_DEFAULT
        return DeclaredRole(
            account,
            row.read("name", lambda text: read_name("name", text)),
            row.policy("trust", "trust"),
            self._attached(row, account, own),
            self._inline(row, "role"),
            row.read("path", read_path, required=False, default="/"),
            row.text("description"),
            lasts_s,
        )

    def _user(self, row: Row, own: Mapping[tuple[str, str], str]) -> DeclaredUser:
        account = row.account()
        name = row.read("name", lambda text: read_name("name", text))
        if name == ROOT:
            for key in ("policies", "inline", "password_file", "path"):
                if row.values.get(key):
                    row.wrong(key, _ROOT_HAS.format(key))
            return DeclaredUser(account, ROOT, self._keys(row))
        password = self._secret_file(row, "password_file") if "password_file" in row.values else ""
        if len(password) > PASSWORD_CHARS_MAX or not password.isprintable():
            row.wrong("password_file", f"1 to {PASSWORD_CHARS_MAX} printable characters in one line are wanted")
        return DeclaredUser(
            account,
            name,
            self._keys(row),
            password,
            self._attached(row, account, own),
            self._inline(row, "user"),
            row.read("path", read_path, required=False, default="/"),
        )

    def _keys(self, row: Row) -> tuple[DeclaredKey, ...]:
        return tuple(self._key(key) for key in row.rows("access_keys", _KEY_KEYS))

    def _key(self, row: Row) -> DeclaredKey:
        key_id = row.text("id", required=True)
        if key_id and not is_key_id(key_id):
            row.wrong("id", "3 to 128 letters, digits and _ are wanted, not ASIA first")
        if ("secret" in row.values) == ("secret_file" in row.values):
            row.wrong("secret_file", "one of secret_file and secret is wanted")
            return DeclaredKey(key_id, "")
        if "secret" in row.values:
            self.warnings.add(f"{row.where}.secret", "the secret stands in this file; secret_file keeps it apart")
            secret, key = row.text("secret", required=True), "secret"
        else:
            secret, key = self._secret_file(row, "secret_file"), "secret_file"
        if secret and not is_secret(secret):
            row.wrong(key, f"1 to {SECRET_CHARS_MAX} ASCII characters without spaces are wanted")
        return DeclaredKey(key_id, secret)

    def _secret_file(self, row: Row, key: str) -> str:
        """Read a secret from the file that `key` names, without the line end after it."""
        name = row.text(key, required=True)
        if not name:
            return ""
        try:
            path = place_of(name, self.base, self.credentials)
        except ValueError as error:
            row.wrong(key, str(error))
            return ""
        try:
            with path.open("rb") as file:
                mode = path.stat().st_mode
                text = file.read(SECRET_FILE_BYTES_MAX).decode()
        except UnicodeDecodeError:
            row.wrong(key, f"{path} is not UTF-8")
            return ""
        except OSError as error:
            row.wrong(key, f"{path} cannot be read: {error.strerror}")
            return ""
        if mode & stat.S_IRWXO:
            row.wrong(key, f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}): give it mode 0600")
        if not text.strip("\r\n"):
            row.wrong(key, f"{path} is empty")
        return text.removesuffix("\n").removesuffix("\r")

    def _attached(self, row: Row, account: str, own: Mapping[tuple[str, str], str]) -> tuple[str, ...]:
        """Read names or ARNs of managed policies: built-in ones, and those that this file declares in the account."""
        known = {name: policy_arn("aws", "/", name) for name in MANAGED_POLICIES}
        known |= {name: arn for (owner, name), arn in own.items() if owner == account}
        arns = set(known.values())
        found: dict[str, None] = {}
        for text in row.texts("policies"):
            arn = text if text in arns else known.get(text)
            if arn is None:
                row.wrong("policies", f"{text!r} is no policy{nearest(text, known)}")
            else:
                found[arn] = None
        if len(found) > ATTACHED_MAX:
            row.wrong("policies", f"at most {ATTACHED_MAX} can be attached")
        return tuple(found)

    def _inline(self, row: Row, kind: HolderKind) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in row.rows("inline", _INLINE_KEYS):
            name = item.read("name", lambda text: read_policy_name("name", text))
            if name in found:
                item.wrong("name", f"{name!r} stands there twice")
            found[name] = item.policy("document", "identity")
        if sum(len("".join(text.split())) for text in found.values()) > INLINE_CHARS_MAX[kind]:
            row.wrong(
                "inline", f"inline policies of a {kind} have at most {INLINE_CHARS_MAX[kind]} characters together"
            )
        return found

    def _twins(self, table: str, names: Sequence[tuple[str, ...]], key: str = "") -> None:
        for at, name in enumerate(names):
            if all(name) and name in names[:at]:
                where = f"{table}[{at}].{key}" if key else f"{table}[{at}]"
                self.faults.add(where, f"{' '.join(name)} stands there twice")

    def _twin_keys(self, users: Sequence[DeclaredUser]) -> None:
        seen: set[str] = set()
        for at, user in enumerate(users):
            for number, key in enumerate(user.keys):
                if key.id in seen:
                    self.faults.add(f"user[{at}].access_keys[{number}].id", f"{key.id} is the id of another key too")
                seen.add(key.id)
