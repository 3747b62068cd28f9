"""From the operator's TOML file to Settings. Reads every key before it complains, so that one run names every fault."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from mirror.config import checks
from mirror.config.credentials import DIRECTORY
from mirror.config.faults import ConfigInvalid, Fault, Faults
from mirror.config.places import places
from mirror.config.settings import Listen, Settings, parse_listen
from mirror.config.tables import Reader

FILE_BYTES_MAX: Final = 1024 * 1024  # thousands of upstreams; anything larger is not a configuration
_AT: Final = re.compile(r" \(at line (\d+), column (\d+)\)$")


def load(
    path: Path | None, *, listen: Sequence[str] = (), data: Path | None = None, credentials: Path = DIRECTORY
) -> Settings:
    """Read the settings from `path`, or take the defaults; `listen` and `data`, from the command line, come first.

    Relative paths in the file start at the file's own directory; `credential:NAME` is a file in `credentials`. Raises
    ConfigInvalid with every fault found.
    """
    document, faults = document_of(path) if path else ({}, Faults(""))
    reader = Reader(faults, path.absolute().parent if path else Path(), credentials)
    settings = reader.settings(document, has_file=path is not None)
    checks.across(settings, faults)
    addresses = _addresses(listen, faults)
    faults.raise_any()
    return _overridden(settings, addresses, data)


def _overridden(settings: Settings, addresses: tuple[Listen, ...], data: Path | None) -> Settings:
    server, storage = settings.server, settings.storage
    if addresses:
        server = replace(server, listen=addresses)
    if data is not None:
        storage = replace(storage, root=data)
    return replace(settings, server=server, storage=storage)


def _addresses(texts: Sequence[str], faults: Faults) -> tuple[Listen, ...]:
    found = []
    for text in texts:
        try:
            found.append(parse_listen(text))
        except ValueError as error:
            faults.add("--listen", str(error))
    return tuple(found)


def document_of(path: Path) -> tuple[dict[str, Any], Faults]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise _unusable(path, f"is larger than {FILE_BYTES_MAX} bytes")
    try:
        text = data.decode("utf-8-sig")
        return tomllib.loads(text), Faults(str(path), places(text))
    except UnicodeDecodeError as error:
        raise _unusable(path, "is not UTF-8", data.count(b"\n", 0, error.start) + 1) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        at = _AT.search(str(error))
        message = f"not TOML: {_AT.sub('', str(error))}"
        raise _unusable(path, f"{message} (column {at[2]})" if at else message, int(at[1]) if at else 0) from None


def _unusable(path: Path, message: str, line: int = 0) -> ConfigInvalid:
    return ConfigInvalid([Fault(str(path), line, "", message)])
