"""The audit: every change and every refusal, as CloudTrail records them. One JSON object a line.

Source: CloudTrail guide, "CloudTrail record contents"; ECR.md 6.2. Never: a secret, the bytes of a layer, a control
character, or a wait for the disk: lines that cannot be written in time are dropped and counted
(`mirror_log_lines_dropped`).
"""

import asyncio
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from mirror import telemetry
from mirror.aws.arns import parse_arn, role_arn
from mirror.aws.principals import Principal
from mirror.oci.errors import RegistryError
from mirror.oci.names import Registry
from mirror.store.disk import FILE_MODE
from mirror.telemetry.logs import LineWriter

EVENT_VERSION: Final = "1.08"
HIDDEN: Final = "HIDDEN_DUE_TO_SECURITY_REASONS"  # CloudTrail's own word
TEXT_CHARS_MAX: Final = 32_768  # the longest text that is worth keeping is a lifecycle policy of 30,720
ITEMS_MAX: Final = 1_000  # of a list; the longest of the APIs
DEPTH_MAX: Final = 8
MANIFEST_BYTES_MAX: Final = 256 * 1024  # a larger one is not hashed here: that would take the loop a millisecond

# A page's token is no secret, and tells which page was asked for.
_SECRET: Final = re.compile(r"passw|secret|token|authorization|cookie|credentials?$", re.IGNORECASE)
_NO_SECRET: Final = frozenset({"nextToken", "credentialArn", "secretName"})
_MANIFEST: Final = "imageManifest"


class _Lines(LineWriter):
    """Writes lines to a file of its own, and closes it."""

    def close(self) -> None:
        super().close()
        # A thread that hangs on a dead disk would write into whatever file gets the number next.
        if not self._thread.is_alive():
            os.close(self._descriptor)


class AuditFile:
    """A file that lines are appended to by a thread of its own. Opened and opened again in threads."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it for ourselves alone. Raises OSError."""
        self._path = path
        self._descriptor = _open(path)
        self._writer = _Lines(self._descriptor)

    def write(self, line: str) -> None:
        """Hand over a line without its end."""
        self._writer.msg(line)

    async def reopen(self) -> None:
        """Go on in the file that has the name now: the old one was rotated away. Raises OSError."""
        await asyncio.to_thread(self._replace)

    def close(self) -> None:
        """Write what waits, within two seconds. Blocks."""
        self._writer.close()

    def _replace(self) -> None:
        opened = _open(self._path)
        try:
            # Under the same number, so that the thread that writes never sees a closed file.
            os.dup2(opened, self._descriptor, inheritable=False)
        finally:
            os.close(opened)


class Audit:
    """Keeps the record: in the node's log, and in a file where there is one."""

    def __init__(self, region: str, file: AuditFile | None = None) -> None:
        self._region = region
        self._file = file

    def note(  # noqa: PLR0913 - what CloudTrail records of a call
        self,
        *,
        event_name: str,
        principal: Principal,
        registry: Registry | None,
        source_ip: str,
        user_agent: str,
        request_id: str,
        parameters: Mapping[str, object],
        error: RegistryError | None,
        resources: Sequence[str] = (),
        read_only: bool,
        service: str = "ecr",
        access_key_id: str = "",
    ) -> None:
        """Record a call that changed something or was refused; one that only read and was answered is not recorded.

        `resources` are ARNs; of `parameters` no secret is kept, whatever its name's case.
        """
        if read_only and error is None:
            return
        record: dict[str, Any] = {
            "eventVersion": EVENT_VERSION,
            "userIdentity": _identity(principal, access_key_id),
            "eventTime": _now(),
            "eventSource": f"{service}.amazonaws.com",
            "eventName": event_name,
            "awsRegion": self._region,
            "sourceIPAddress": source_ip,
            "userAgent": user_agent,
            **({"errorCode": error.aws, "errorMessage": error.message[:TEXT_CHARS_MAX]} if error is not None else {}),
            "requestParameters": _plain(parameters) or None,
            "responseElements": None,
            "requestID": request_id,
            "eventID": str(uuid.uuid4()),
            "readOnly": read_only,
            "resources": [_resource(arn) for arn in resources],
            "eventType": "AwsApiCall",
            "managementEvent": True,
            "recipientAccountId": registry.account if registry is not None else principal.account,
            "eventCategory": "Management",
        }
        self._write(record)

    def note_service(
        self, *, event_name: str, registry: Registry, resource: str, details: Mapping[str, object]
    ) -> None:
        """Record what the node did of itself, such as a run of a lifecycle policy, to the resource of an ARN.

        Source: CloudTrail guide, "AWS service events"; ECR.md 6.2.
        """
        own = "AWS Internal"
        self._write(
            {
                "eventVersion": EVENT_VERSION,
                "userIdentity": {"accountId": registry.account, "invokedBy": own},
                "eventTime": _now(),
                "eventSource": "ecr.amazonaws.com",
                "eventName": event_name,
                "awsRegion": self._region,
                "sourceIPAddress": own,
                "userAgent": own,
                "requestParameters": None,
                "responseElements": None,
                "eventID": str(uuid.uuid4()),
                "readOnly": True,
                "resources": [{**_resource(resource), "type": "AWS::ECR::Repository"}],
                "eventType": "AwsServiceEvent",
                "managementEvent": True,
                "recipientAccountId": registry.account,
                "serviceEventDetails": details,
                "eventCategory": "Management",
            }
        )

    def _write(self, record: Mapping[str, Any]) -> None:
        telemetry.log.info("audit", record=record)
        if self._file is not None:
            # ASCII: no terminal that shows the file takes orders from a client's user agent.
            self._file.write(json.dumps(record, separators=(",", ":")).replace("\x7f", "\\u007f"))

    async def reopen(self) -> None:
        """Go on in a new file after the old one was rotated away. A failure is logged, and the old file is kept."""
        if self._file is not None:
            try:
                await self._file.reopen()
            except OSError as error:
                telemetry.log.error("audit file not reopened", reason=str(error))


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, FILE_MODE)


def _identity(principal: Principal, access_key_id: str) -> dict[str, Any]:
    """Say who called. Source: CloudTrail guide, "CloudTrail userIdentity element"."""
    account = principal.account
    who: dict[str, Any] = {"principalId": principal.id or account, "arn": principal.arn, "accountId": account}
    if access_key_id:
        who["accessKeyId"] = access_key_id
    match principal.kind:
        case "anonymous":
            return {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}
        case "root":
            return {"type": "Root", **who}
        case "user":
            return {"type": "IAMUser", **who, "userName": principal.name}
    issuer = {
        "type": "Role",
        "principalId": principal.id,
        "arn": role_arn(account, principal.path, principal.name),
        "accountId": account,
        "userName": principal.name,
    }
    who["principalId"] = f"{principal.id}:{principal.session}"
    return {"type": "AssumedRole", **who, "sessionContext": {"sessionIssuer": issuer}}


def _resource(arn: str) -> dict[str, str]:
    parsed = parse_arn(arn)
    return {"ARN": arn, "accountId": parsed.account if parsed is not None else ""}


def _plain(parameters: Mapping[str, object], depth: int = 0) -> dict[str, Any]:
    """Return parameters as they may be kept: no bytes, no secrets, of a manifest its digest."""
    kept: dict[str, Any] = {}
    for key, value in parameters.items():
        if value is None or isinstance(value, bytes | bytearray | memoryview):
            continue
        if key == _MANIFEST and isinstance(value, str):
            kept[key] = _digest(value)
        elif _SECRET.search(key) and key not in _NO_SECRET:
            kept[key] = HIDDEN
        else:
            kept[str(key)[:TEXT_CHARS_MAX]] = _value(value, depth)
    return kept


def _value(value: object, depth: int) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if depth >= DEPTH_MAX:
        return HIDDEN
    if isinstance(value, Mapping):
        return _plain(value, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        members = [member for member in value if not isinstance(member, bytes)]
        return [_value(member, depth + 1) for member in members[:ITEMS_MAX]]
    return str(value)[:TEXT_CHARS_MAX]


def _digest(manifest: str) -> str:
    with suppress(UnicodeEncodeError):
        data = manifest.encode()
        if len(data) <= MANIFEST_BYTES_MAX:
            return f"sha256:{hashlib.sha256(data).hexdigest()}"
    return HIDDEN
