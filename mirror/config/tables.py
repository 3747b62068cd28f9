"""From a TOML document's tables to the shapes of the settings: known keys, right types, values within their grammar."""

from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from mirror.config.credentials import place_of
from mirror.config.faults import Faults, nearest
from mirror.config.settings import (
    Access,
    Home,
    Host,
    Iam,
    Log,
    Region,
    Replication,
    Server,
    Settings,
    Storage,
    Traces,
    Webhook,
)
from mirror.config.words import KINDS, WORDS, said
from mirror.rules.destinations import DestinationRule
from mirror.rules.quotas import QuotaRule
from mirror.rules.routing import UpstreamRule
from mirror.rules.syncing import SyncRule

TABLES: Final[Mapping[str, type]] = {
    "server": Server,
    "storage": Storage,
    "access": Access,
    "log": Log,
    "traces": Traces,
    "registry": Home,
    "iam": Iam,
    "replication": Replication,
}
LISTS: Final[Mapping[str, type]] = {
    "host": Host,
    "webhook": Webhook,
    "region": Region,
    "destination": DestinationRule,
    "sync": SyncRule,
    "quota": QuotaRule,
}
_FILES: Final = frozenset(
    {
        *("storage.root", "storage.archive_root", "tls.certificate", "tls.key"),
        *("upstream.password_file", "upstream.ca_file"),
        *("iam.file", "webhook.secret_file", "log.audit", "region.secret_file", "region.ca_file"),
        *("destination.password_file", "destination.ca_file"),
    }
)
_NO_PASSWORDS: Final = "a password never stands in this file: write it into one of its own and name that password_file"


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads tables of the document into their shapes; a value that is wrong is noted and left at its default."""

    faults: Faults
    base: Path
    credentials: Path

    def settings(self, document: Mapping[str, Any], *, has_file: bool) -> Settings:
        self._unknown(document, "", {*TABLES, *LISTS, "upstream"})
        tables = {name: self._table(document.get(name, {}), name, name, shape) for name, shape in TABLES.items()}
        tables |= {f"{name}s": self._list(document.get(name, []), name, shape) for name, shape in LISTS.items()}
        if has_file:
            tables["upstreams"] = self._list(document.get("upstream", []), "upstream", UpstreamRule)
        return Settings(**tables)

    def _list(self, raw: object, name: str, shape: type) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            self.faults.add(name, f"[[{name}]] tables are wanted, not {said(raw)}")
            return ()
        return tuple(self._table(item, f"{name}[{at}]", name, shape) for at, item in enumerate(raw))

    def _table(self, raw: object, where: str, table: str, shape: type) -> Any:
        """Read a table into `shape`; a missing key that has no default is noted and read as an empty text."""
        if not isinstance(raw, dict):
            self.faults.add(where, f"a table is wanted, not {said(raw)}")
            raw = {}
        hints = get_type_hints(shape)
        self._unknown(raw, where, hints)
        values: dict[str, Any] = {}
        for field in fields(shape):
            name, is_required = field.name, field.default is MISSING
            if name in raw:
                self._field(values, raw[name], f"{where}.{name}", f"{table}.{name}", hints[name])
            elif is_required:
                self.faults.add(f"{where}.{name}", "is required")
            if is_required:
                values.setdefault(name, "")
        return shape(**values)

    def _unknown(self, raw: Mapping[str, Any], where: str, known: Collection[str]) -> None:
        for key in raw:
            if key not in known:
                path = f"{where}.{key}" if where else key
                self.faults.add(path, _NO_PASSWORDS if key == "password" else f"unknown key{nearest(key, known)}")

    def _field(self, values: dict[str, Any], raw: object, where: str, key: str, kind: Any) -> None:
        name = key.rpartition(".")[2]
        if is_dataclass(kind) and isinstance(kind, type) and kind not in KINDS:
            values[name] = self._table(raw, where, name, kind)
        elif get_origin(kind) is tuple:
            values[name] = self._items(raw, where, key, get_args(kind)[0])
        else:
            read = self._items([raw], where, key, kind)
            if read:
                values[name] = read[0]

    def _items(self, raw: object, where: str, key: str, kind: Any) -> tuple[Any, ...]:
        """Read each item of a list; `listen` may be one text in place of a list of one."""
        if key == "server.listen" and isinstance(raw, str):
            raw = [raw]
        if not isinstance(raw, list):
            self.faults.add(where, f"a list is wanted, not {said(raw)}")
            return ()
        found = []
        for item in raw:
            try:
                found.append(self._item(item, key, kind))
            except ValueError as error:
                self.faults.add(where, str(error))
        return tuple(found)

    def _item(self, raw: object, key: str, kind: Any) -> Any:
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            value = KINDS[str](raw)
            if value not in choices:
                raise ValueError(f"{value!r} is unknown{nearest(value, choices)}")
            return value
        value = KINDS[kind](raw)
        if key in WORDS:
            value = WORDS[key](value)
        return type(value)(place_of(str(value), self.base, self.credentials)) if key in _FILES and value else value
